/// What a request's path may look like at an edge, where routes are chosen by it and servers behind read it in their own ways.
enum RequestPath {
    /// What is wrong with a path that begins with a slash; `nil`: nothing.
    ///
    /// Servers resolve dot segments (RFC 3986 §5.2.4), also encoded ones, so that `/public/../admin` would reach what the
    /// route for `/public` is not for. A fragment is no part of a request (RFC 9110 §7.1), some take a backslash for a slash,
    /// and the encoded NUL ends a path for others.
    static func fault(_ path: Bytes) -> String? {
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
