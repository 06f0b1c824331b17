/// Hexadecimal digits, in lower case when written (RFC 4648 §8).
enum Hex {
    static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

    static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - 0x30
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - 0x57
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - 0x37
        default: nil
        }
    }

    /// Writes two digits for each byte.
    static func encode(_ source: Bytes, to target: UnsafeMutablePointer<UInt8>) {
        for index in 0..<source.count {
            target[2 * index] = digit(source[index] >> 4)
            target[2 * index + 1] = digit(source[index] & 15)
        }
    }

    /// Writes half as many bytes; false for what is no hexadecimal text.
    static func decode(_ source: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Bool {
        guard source.count % 2 == 0 else { return false }
        for index in 0..<source.count / 2 {
            guard let high = value(of: source[2 * index]), let low = value(of: source[2 * index + 1]) else {
                return false
            }
            target[index] = high << 4 | low
        }
        return true
    }
}
