import Glibc

/// Writes a header block from its beginning to its end.
struct BlockWriter {
    private var position: UnsafeMutablePointer<UInt8>

    @inline(__always) init(_ start: UnsafeMutablePointer<UInt8>) { position = start }

    @inline(__always) func count(from start: UnsafeMutablePointer<UInt8>) -> Int { position - start }

    /// §5.1; `first`: the bits above the lowest `bits`.
    @inline(__always) mutating func integer(_ value: Int, bits: UInt8, first: UInt8) {
        let most = (1 << Int(bits)) - 1
        if value < most {
            position.pointee = first | UInt8(truncatingIfNeeded: value)
            position += 1
        } else {
            longInteger(value - most, first | UInt8(most))
        }
    }

    private mutating func longInteger(_ value: Int, _ first: UInt8) {
        position.pointee = first
        position += 1
        var rest = value
        while rest >= 0x80 {
            position.pointee = UInt8(truncatingIfNeeded: rest) | 0x80
            position += 1
            rest >>= 7
        }
        position.pointee = UInt8(rest)
        position += 1
    }

    /// §5.2, without Huffman coding.
    @inline(__always) mutating func string(_ text: Bytes) {
        integer(text.count, bits: 7, first: 0)
        memcpy(position, text.base, text.count)
        position += text.count
    }
}
