/// What a request's path may look like at an edge, where routes are chosen by it and servers behind read it in their own ways.
enum RequestPath {
    /// What is wrong with a path that begins with a slash; `nil`: nothing.
    ///
    /// Servers resolve dot segments (RFC 3986 §5.2.4), also encoded ones, so that `/public/../admin` would reach what the
    /// route for `/public` is not for. A fragment is no part of a request (RFC 9110 §7.1), some take a backslash for a slash,
    /// and the encoded NUL ends a path for others.
    @inline(__always) static func fault(_ path: Bytes) -> String? { isPlain(path) ? nil : closerLook(path) }

    /// Whether the path has nothing that could be wrong. Eight octets at a time.
    @inline(__always) private static func isPlain(_ path: Bytes) -> Bool {
        guard path.count >= 8 else { return false }
        var found: UInt64 = 0
        var index = 0
        // The last word begins within the one before it, so that no pair of octets is missed.
        let last = path.count - 8
        while index < last {
            found |= oddities(path, at: index)
            index += 7
        }
        return (found | oddities(path, at: last)) & highs == 0
    }

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The highest bits say where a percent sign, a fragment's sign, a backslash, or a dot behind a slash may be.
    @inline(__always) private static func oddities(_ path: Bytes, at index: Int) -> UInt64 {
        let word = UInt64(littleEndian: UnsafeRawPointer(path.base + index).loadUnaligned(as: UInt64.self))
        let segments = (octets(word, 0x2f) & highs) << 8
        return octets(word, 0x25) | octets(word, 0x23) | octets(word, 0x5c) | segments & octets(word, 0x2e)
    }

    /// The highest bit of each octet that is `octet`; of others above it, perhaps.
    @inline(__always) private static func octets(_ word: UInt64, _ octet: UInt64) -> UInt64 {
        let zeros = word ^ (ones &* octet)
        return (zeros &- ones) & ~zeros
    }

    private static func closerLook(_ path: Bytes) -> String? {
        var segment = 1
        var index = 1
        while index < path.count {
            let octet = path[index]
            index += 1
            // Letters and digits need no look.
            guard octet < 0x30 || octet == UInt8(ascii: "?") || octet == UInt8(ascii: "\\") else { continue }
            switch octet {
            case UInt8(ascii: "/"):
                if isDots(path[segment..<index - 1]) { return "the path has dot segments" }
                segment = index
            case UInt8(ascii: "?"):
                if isDots(path[segment..<index - 1]) { return "the path has dot segments" }
                return path[index..<path.count].firstIndex(of: UInt8(ascii: "#")) == nil ? nil : fragment
            case UInt8(ascii: "#"): return fragment
            case UInt8(ascii: "\\"): return "the path has a backslash"
            case UInt8(ascii: "%"):
                let isNull = index + 1 < path.count && path[index] == 0x30 && path[index + 1] == 0x30
                if isNull { return "the path has an encoded NUL" }
            default: break
            }
        }
        return isDots(path[min(segment, path.count)..<path.count]) ? "the path has dot segments" : nil
    }

    private static let fragment = "the path has a fragment"

    /// `.` or `..`, each dot as it is or as `%2e`.
    @inline(__always) private static func isDots(_ segment: Bytes) -> Bool {
        guard segment.count > 0, segment[0] == UInt8(ascii: ".") || segment[0] == UInt8(ascii: "%") else {
            return false
        }
        return dots(segment)
    }

    private static func dots(_ segment: Bytes) -> Bool {
        var index = 0
        var count = 0
        while index < segment.count {
            if segment[index] == UInt8(ascii: ".") {
                index += 1
            } else if index + 2 < segment.count, segment[index] == UInt8(ascii: "%"), segment[index + 1] == 0x32,
                segment[index + 2] | 0x20 == UInt8(ascii: "e")
            {
                index += 3
            } else {
                return false
            }
            count += 1
        }
        return count <= 2
    }
}
