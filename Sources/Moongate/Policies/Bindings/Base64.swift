/// Base64 (RFC 4648 §4) and its form for URLs (§5). Decoding takes missing padding, as scripts written for Envoy expect.
enum Base64 {
    enum Alphabet {
        case standard
        /// `-` and `_` in the place of `+` and `/`; written without padding.
        case url

        fileprivate var letters: StaticString {
            switch self {
            case .standard: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            case .url: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            }
        }
    }

    static func encodedCount(_ count: Int) -> Int { (count + 2) / 3 * 4 }

    /// Writes `encodedCount` bytes at most and gives their number.
    @discardableResult
    static func encode(
        _ source: Bytes, to target: UnsafeMutablePointer<UInt8>, alphabet: Alphabet = .standard
    ) -> Int {
        let letters = alphabet.letters.utf8Start
        var place = 0
        for start in stride(from: 0, to: source.count, by: 3) {
            let left = source.count - start
            let second = left > 1 ? source[start + 1] : 0
            let third = left > 2 ? source[start + 2] : 0
            let group = UInt32(source[start]) << 16 | UInt32(second) << 8 | UInt32(third)
            target[place] = letters[Int(group >> 18)]
            target[place + 1] = letters[Int(group >> 12 & 63)]
            target[place + 2] = left > 1 ? letters[Int(group >> 6 & 63)] : UInt8(ascii: "=")
            target[place + 3] = left > 2 ? letters[Int(group & 63)] : UInt8(ascii: "=")
            place += 4
        }
        let padding = (3 - source.count % 3) % 3
        return alphabet == .url ? place - padding : place
    }

    /// What Envoy reads: blanks and line ends do not count, and full stops pad like equals signs. Writes at most as many
    /// bytes as it reads.
    static func withoutBlanks(_ source: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Bytes {
        var count = 0
        for index in 0..<source.count where source[index] != 32 && source[index] &- 9 > 4 {
            target[count] = source[index] == UInt8(ascii: ".") ? UInt8(ascii: "=") : source[index]
            count += 1
        }
        return Bytes(UnsafePointer(target), count)
    }

    /// Writes at most as many bytes as it has read before, so that `source` may lie at `target`, and gives their number;
    /// `nil` if the text is no Base64.
    static func decode(
        _ source: Bytes, to target: UnsafeMutablePointer<UInt8>, alphabet: Alphabet = .standard
    ) -> Int? {
        var end = source.count
        while end > 0, source.count - end < 2, source[end - 1] == UInt8(ascii: "=") { end -= 1 }
        // Padding only fills groups of four; one letter alone holds no byte.
        guard end == source.count || source.count % 4 == 0, end % 4 != 1 else { return nil }
        var bits: UInt32 = 0
        var held: UInt32 = 0
        var count = 0
        for index in 0..<end {
            guard let value = value(of: source[index], alphabet) else { return nil }
            bits = bits << 6 | value
            held += 6
            if held >= 8 {
                held -= 8
                target[count] = UInt8(truncatingIfNeeded: bits >> held)
                count += 1
            }
        }
        return count
    }

    static func value(of letter: UInt8, _ alphabet: Alphabet) -> UInt32? {
        switch letter {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(letter) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(letter) - 97 + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(letter) - 48 + 52
        case UInt8(ascii: "+") where alphabet == .standard, UInt8(ascii: "-") where alphabet == .url: 62
        case UInt8(ascii: "/") where alphabet == .standard, UInt8(ascii: "_") where alphabet == .url: 63
        default: nil
        }
    }
}
