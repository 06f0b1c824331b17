/// The lines of a text that say something: without blanks at both ends, without empty lines and without comments, which
/// begin with `#`. The text has to be UTF-8 and to outlive the sequence.
struct DataLines: Sequence, IteratorProtocol {
    struct Line {
        /// Counted from 1.
        var number: Int
        var text: String
    }

    private let bytes: UnsafeBufferPointer<UInt8>
    private var place: Int
    private var number = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) {
        self.bytes = bytes
        // Some programs put a byte order mark in front of UTF-8.
        place = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }

    mutating func next() -> Line? {
        while place < bytes.count {
            let start = place
            while place < bytes.count, breakLength(at: place) == 0 { place += 1 }
            let line = trimmed(start..<place)
            number += 1
            place += place < bytes.count ? breakLength(at: place) : 0
            guard !line.isEmpty, bytes[line.lowerBound] != UInt8(ascii: "#") else { continue }
            return Line(number: number, text: String(decoding: bytes[line], as: UTF8.self))
        }
        return nil
    }

    /// Bytes of the line break that begins here; 0: none does. The breaks are those of Unicode (UAX #14, class BK, CR, LF, NL).
    private func breakLength(at place: Int) -> Int {
        switch bytes[place] {
        case 0x0A, 0x0B, 0x0C: 1
        case 0x0D: place + 1 < bytes.count && bytes[place + 1] == 0x0A ? 2 : 1
        case 0xC2 where place + 1 < bytes.count && bytes[place + 1] == 0x85: 2
        case 0xE2
        where place + 2 < bytes.count && bytes[place + 1] == 0x80 && (bytes[place + 2] | 1) == 0xA9: 3
        default: 0
        }
    }

    private func trimmed(_ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, DataLines.isBlank(bytes[start]) { start += 1 }
        while end > start, DataLines.isBlank(bytes[end - 1]) { end -= 1 }
        guard start < end, bytes[start] >= 0x80 || bytes[end - 1] >= 0x80 else { return start..<end }
        return trimmedOfUnicode(start..<end)
    }

    /// The same for blanks beyond ASCII, such as the no-break space.
    private func trimmedOfUnicode(_ range: Range<Int>) -> Range<Int> {
        let scalars = Array(String(decoding: bytes[range], as: UTF8.self).unicodeScalars)
        let isBlank: (Unicode.Scalar) -> Bool = { $0.properties.isWhitespace }
        let leading = scalars.prefix(while: isBlank)
        let trailing = scalars.dropFirst(leading.count).reversed().prefix(while: isBlank)
        let before = leading.reduce(0) { $0 + UTF8.width($1) }
        let behind = trailing.reduce(0) { $0 + UTF8.width($1) }
        return (range.lowerBound + before)..<(range.upperBound - behind)
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
