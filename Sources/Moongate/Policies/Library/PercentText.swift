/// Percent-encoding in queries (RFC 3986 §2.1, and `+` for a blank as forms write it).
enum PercentText {
    /// Writes at most as many bytes as it reads and gives their number. What is no valid escape stays as it is.
    static func decode(_ source: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Int {
        var count = 0
        var index = 0
        while index < source.count {
            var byte = source[index]
            index += 1
            if byte == UInt8(ascii: "+") {
                byte = UInt8(ascii: " ")
            } else if byte == UInt8(ascii: "%"), index + 1 < source.count, let high = digit(source[index]),
                let low = digit(source[index + 1])
            {
                byte = high << 4 | low
                index += 2
            }
            target[count] = byte
            count += 1
        }
        return count
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 48
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - 87
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - 55
        default: nil
        }
    }
}
