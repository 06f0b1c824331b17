@testable import Moongate

/// Header compression (RFC 7541).
extension FuzzTarget {
    static let compression = [headerBlocks, huffman]

    /// Several blocks of one connection, each behind its length. What was decoded is encoded by ours and must come back.
    private static let headerBlocks = FuzzTarget("header-blocks") { bytes in
        let tools = CompressionTools()
        var decoder = HeaderDecoder(tools)
        var encoder = HeaderEncoder(tools)
        var reader = HeaderDecoder(tools)
        let list = HeaderList()
        defer {
            decoder.free()
            encoder.free()
            reader.free()
            list.destroy()
        }
        var input = FuzzInput(bytes)
        while !input.isAtEnd {
            let limit = input.byte()
            if limit & 1 == 1 { encoder.limitTable(to: UInt32(limit) * 32) }
            let block = input.take(Int(input.byte()) * 4)
            list.reset()
            var fields: [String] = []
            let isSound = block.withView { block in
                decoder.decode(block) { field in
                    fields.append("\(Array(field.name.buffer)) \(Array(field.value.buffer))")
                    list.append(field.id, field.name, field.value, neverIndexed: field.neverIndexed)
                }
            }
            guard isSound else { return }
            try Violation.check(list.encodedSize <= block.count * (4096 + 32), "fields out of nothing")
            let bound = HeaderEncoder.bound(fieldSize: list.encodedSize)
            let written = [UInt8].filled(bound) { encoder.encode(list, to: $0) }
            var again: [String] = []
            let isReadable = written.withView { written in
                reader.decode(written) { again.append("\(Array($0.name.buffer)) \(Array($0.value.buffer))") }
            }
            try Violation.check(isReadable && again == fields, "what was encoded is decoded otherwise")
        }
    }

    /// A text in Huffman's code (§5.2).
    private static let huffman = FuzzTarget("huffman", longestInput: 1024) { bytes in
        let code = HuffmanCode()
        let room = HuffmanCode.decodedBound(bytes.count)
        var length: Int?
        _ = [UInt8].filled(room) { target in
            length = code.decode(bytes.view, to: target)
            return length ?? 0
        }
        // The shortest code has five bits.
        try Violation.check((length ?? 0) * 5 <= bytes.count * 8, "longer than its code can say")
    }
}
