/// The percent-encoding of `grpc-message`: UTF-8 in which only %x20–24 and %x26–7E stand for themselves; blanks at the ends do not,
/// since a field's value must not begin or end with one (RFC 9113 §8.2.1).
enum GRPCMessageText {
    /// Bytes that `encode` makes of `text`.
    static func encodedCount(_ text: Bytes) -> Int {
        var count = text.count
        for index in 0..<text.count where !isPlain(text, index) { count += 2 }
        return count
    }

    /// Writes `encodedCount(text)` bytes.
    static func encode(_ text: Bytes, to target: UnsafeMutablePointer<UInt8>) {
        var end = 0
        for index in 0..<text.count {
            let byte = text[index]
            if isPlain(text, index) {
                target[end] = byte
                end += 1
            } else {
                target[end] = UInt8(ascii: "%")
                target[end + 1] = hexDigit(byte >> 4)
                target[end + 2] = hexDigit(byte & 15)
                end += 3
            }
        }
    }

    /// Never fails: what is no escape stays as it is. Writes at most `text.count` bytes and returns how many.
    static func decode(_ text: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Int {
        var end = 0
        var index = 0
        while index < text.count {
            if text[index] == UInt8(ascii: "%"), index + 2 < text.count,
                let high = value(ofHex: text[index + 1]), let low = value(ofHex: text[index + 2])
            {
                target[end] = high << 4 | low
                index += 3
            } else {
                target[end] = text[index]
                index += 1
            }
            end += 1
        }
        return end
    }

    /// The first `limit` bytes, less a character that would be cut in two.
    static func cut(_ text: Bytes, to limit: Int) -> Bytes {
        guard text.count > limit else { return text }
        var end = limit
        while end > 0 && text[end] & 0xC0 == 0x80 { end -= 1 }
        return text[0..<end]
    }

    /// The first `limit` bytes of an encoded text, less an escape or a character that would be cut in two, and less blanks at
    /// the end (RFC 9113 §8.2.1).
    static func cutEncoded(_ text: Bytes, to limit: Int) -> Bytes {
        guard text.count > limit else { return text }
        var end = max(0, limit)
        for behind in 1...2 where end >= behind && text[end - behind] == UInt8(ascii: "%") { end -= behind }
        // What follows begins with the rest of a character: the part before it goes, too.
        while end >= 3, isContinuation(text, at: end) { end -= 3 }
        while end > 0 && text[end - 1] == 0x20 { end -= 1 }
        return text[0..<end]
    }

    /// An escaped byte that is not the first of its character stands there.
    private static func isContinuation(_ text: Bytes, at index: Int) -> Bool {
        guard index + 2 < text.count, text[index] == UInt8(ascii: "%"), let high = value(ofHex: text[index + 1]) else {
            return false
        }
        return high & 0xc == 0x8
    }

    @inline(__always)
    private static func isPlain(_ text: Bytes, _ index: Int) -> Bool {
        let byte = text[index]
        if byte == 0x20 { return index > 0 && index < text.count - 1 }
        return byte > 0x20 && byte <= 0x7E && byte != UInt8(ascii: "%")
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
    }

    private static func value(ofHex digit: UInt8) -> UInt8? {
        if digit &- 48 < 10 { return digit - 48 }
        let letter = digit.asciiLowercased &- UInt8(ascii: "a")
        return letter < 6 ? letter + 10 : nil
    }
}
