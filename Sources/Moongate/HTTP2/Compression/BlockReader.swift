/// A place in a header block.
struct BlockReader {
    private let end: UnsafePointer<UInt8>
    private var position: UnsafePointer<UInt8>
    var hasFields = false

    @inline(__always) init(_ block: Bytes) {
        position = block.base
        end = block.base + block.count
    }

    @inline(__always) var hasMore: Bool { position < end }
    @inline(__always) var peek: UInt8 { position.pointee }

    /// An integer whose first octet is the next one, of which the lowest `bits` belong to it (§5.1); `nil`: cut off, or
    /// larger than anything here can be.
    @inline(__always) mutating func integer(bits: UInt8) -> Int? {
        guard hasMore else { return nil }
        let most = (1 << Int(bits)) - 1
        let first = Int(position.pointee) & most
        position += 1
        return first < most ? first : longInteger(first)
    }

    private mutating func longInteger(_ first: Int) -> Int? {
        var value = first
        var shift = 0
        while hasMore, shift <= 21 {
            let octet = Int(position.pointee)
            position += 1
            value += (octet & 0x7f) << shift
            if octet & 0x80 == 0 { return value }
            shift += 7
        }
        return nil
    }

    /// A string (§5.2), in the block itself or decoded into `scratch`.
    @inline(__always) mutating func string(_ tools: CompressionTools, to scratch: TextScratch) -> Bytes? {
        guard hasMore else { return nil }
        let isCoded = position.pointee & 0x80 != 0
        guard let count = integer(bits: 7), count <= end - position else { return nil }
        let text = Bytes(position, count)
        position += count
        guard isCoded else { return text }
        let target = scratch.room(for: HuffmanCode.decodedBound(count))
        return tools.huffman.decode(text, to: target).map { Bytes(UnsafePointer(target), $0) }
    }
}
