/// The Huffman code of header strings (RFC 7541 §5.2, Appendix B), for decoding.
///
/// The code is canonical: of two symbols the one with the shorter code, or else the smaller symbol, has the smaller code.
/// So the lengths say everything.
final class HuffmanCode {
    /// Octets of the longest text that so many octets of code can stand for.
    static func decodedBound(_ count: Int) -> Int { count * 8 / 5 + 1 }

    /// By symbol. The end of a string, symbol 256, has 30 bits, too, and is an error where it appears.
    static let lengths: [UInt8] = [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
        28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
        6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
        5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
        13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
        7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
        6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
        20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
        24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
        22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
        21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
        19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
        20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
        26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    ]
    private static let longest = 30
    /// Codes of up to so many bits, which is what texts are made of, are found by one look-up.
    private static let fastBits = 10

    /// By the next bits: the symbol, and above it the length of its code; 0: a longer code.
    private let fast = UnsafeMutablePointer<UInt16>.allocate(capacity: 1 << fastBits)
    /// Symbols in the order of their codes.
    private let symbols = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    /// By length: the codes of that length, left-aligned in 32 bits, end before this one.
    private let ends = UnsafeMutablePointer<UInt64>.allocate(capacity: longest + 1)
    /// By length: what to add to a code to get its symbol's place.
    private let offsets = UnsafeMutablePointer<Int>.allocate(capacity: longest + 1)

    init() {
        fast.initialize(repeating: 0, count: 1 << HuffmanCode.fastBits)
        let order = (0..<256).sorted {
            (HuffmanCode.lengths[$0], $0) < (HuffmanCode.lengths[$1], $1)
        }
        for (place, symbol) in order.enumerated() { (symbols + place).initialize(to: UInt8(symbol)) }
        var code = 0
        var place = 0
        for length in 0...HuffmanCode.longest {
            code <<= 1
            (offsets + length).initialize(to: place - code)
            while place < 256, HuffmanCode.lengths[order[place]] == length {
                if length <= HuffmanCode.fastBits { fill(code, length, symbol: order[place]) }
                code += 1
                place += 1
            }
            (ends + length).initialize(to: UInt64(code) << UInt64(32 - length))
        }
    }

    private func fill(_ code: Int, _ length: Int, symbol: Int) {
        let free = HuffmanCode.fastBits - length
        for rest in 0..<(1 << free) { fast[code << free | rest] = UInt16(length << 8 | symbol) }
    }

    deinit {
        fast.deallocate()
        symbols.deallocate()
        ends.deallocate()
        offsets.deallocate()
    }

    /// Writes the text that `code` stands for.
    ///
    /// - Parameter target: has room for `decodedBound`.
    /// - Returns: its length; `nil`: not a valid code, or not padded as §5.2 wants it.
    func decode(_ code: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Int? {
        // The next bits, left-aligned; behind the end come ones, as padding has them.
        var bits: UInt64 = 0
        var count = 0
        var position = 0
        var written = 0
        while true {
            while count <= 56 && position < code.count {
                bits |= UInt64(code[position]) << UInt64(56 - count)
                count += 8
                position += 1
            }
            guard count > 0 else { return written }
            let padded = count >= 64 ? bits : bits | (UInt64.max >> UInt64(count))
            let entry = fast[Int(padded >> UInt64(64 - HuffmanCode.fastBits))]
            var length = Int(entry >> 8)
            var symbol = UInt8(truncatingIfNeeded: entry)
            if entry == 0 {
                guard let found = slow(padded >> 32) else {
                    // Padding: fewer than eight bits, all of them ones.
                    return count < 8 && padded == UInt64.max ? written : nil
                }
                (symbol, length) = found
            }
            guard length <= count else { return count < 8 && padded == UInt64.max ? written : nil }
            target[written] = symbol
            written += 1
            bits <<= UInt64(length)
            count -= length
        }
    }

    /// The symbol whose code begins the 32 bits, and the code's length.
    private func slow(_ bits: UInt64) -> (UInt8, Int)? {
        for length in (HuffmanCode.fastBits + 1)...HuffmanCode.longest where bits < ends[length] {
            let place = Int(bits >> UInt64(32 - length)) + offsets[length]
            return place < 256 ? (symbols[place], length) : nil
        }
        return nil
    }
}
