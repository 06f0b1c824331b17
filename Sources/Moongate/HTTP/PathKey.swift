/// A path as it is compared with patterns, where it has escapes, parameters or empty segments: characters that may stand there
/// as they are stand so, the other escapes are in upper case, and slashes are single.
///
/// Never sent anywhere. Of a plain path it is the path itself.
enum PathKey {
    /// The readings that servers have of octets that stay encoded.
    struct Reading: OptionSet {
        let rawValue: UInt8
        /// Parameters are part of the path.
        static let withParameters = Reading(rawValue: 1)
        /// `%2F` is a slash.
        static let decodedSlash = Reading(rawValue: 2)
        /// `%3F` and `%23` end the path.
        static let decodedEnd = Reading(rawValue: 4)

        /// Those in which patterns are written.
        static let spellings: [Reading] = [[], .withParameters]
    }

    /// Lends the key. A copy, on the stack up to 1 KiB.
    /// - Parameter path: canonical in one of the modes, without the query.
    static func withKey<Result>(_ path: Bytes, _ reading: Reading = [], _ body: (Bytes) -> Result) -> Result {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: path.count + 1) { buffer in
            guard let base = buffer.baseAddress else { return body(.empty) }
            return body(Bytes(base, write(path, reading, to: base)))
        }
    }

    /// - Returns: the key's length, at most that of `path`.
    private static func write(_ path: Bytes, _ reading: Reading, to target: UnsafeMutablePointer<UInt8>) -> Int {
        var count = 0
        var index = 0
        while index < path.count {
            var octet = path[index]
            let start = index
            index += 1
            if octet == UInt8(ascii: "%"), start + 2 < path.count, let value = PathEscape.value(path.base + start) {
                index += 2
                if value == UInt8(ascii: "/") && reading.contains(.decodedSlash) {
                    octet = value
                } else if value == UInt8(ascii: "?") || value == UInt8(ascii: "#"), reading.contains(.decodedEnd) {
                    return count
                } else if standsForItself(value) {
                    octet = value
                } else {
                    target[count] = octet
                    target[count + 1] = upperCase(path[start + 1])
                    target[count + 2] = upperCase(path[start + 2])
                    count += 3
                    continue
                }
            }
            if octet == UInt8(ascii: ";") && !reading.contains(.withParameters) {
                index = endOfParameters(path, from: index, reading)
                continue
            }
            if octet == UInt8(ascii: "/") && count > 0 && target[count - 1] == octet { continue }
            target[count] = octet
            count += 1
        }
        return count
    }

    /// Parameters end with their segment.
    private static func endOfParameters(_ path: Bytes, from start: Int, _ reading: Reading) -> Int {
        var index = start
        while index < path.count, path[index] != UInt8(ascii: "/") {
            if reading != [], index + 2 < path.count, let value = PathEscape.value(path.base + index) {
                if value == UInt8(ascii: "/") && reading.contains(.decodedSlash) { return index }
                if value == UInt8(ascii: "?") || value == UInt8(ascii: "#"), reading.contains(.decodedEnd) {
                    return index
                }
            }
            index += 1
        }
        return index
    }

    /// Visible, and of no meaning for where the path's parts begin and end.
    private static func standsForItself(_ octet: UInt8) -> Bool {
        switch octet {
        case UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#"), UInt8(ascii: "%"), UInt8(ascii: "\\"): false
        default: octet > 0x20 && octet < 0x7f
        }
    }

    private static func upperCase(_ octet: UInt8) -> UInt8 { octet > UInt8(ascii: "Z") ? octet & 0xdf : octet }
}
