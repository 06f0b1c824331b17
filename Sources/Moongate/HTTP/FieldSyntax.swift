/// Which octets names and values may consist of (RFC 9110 §5, RFC 9113 §8.2.1, RFC 3986).
enum FieldSyntax {
    private struct Class: OptionSet {
        let rawValue: UInt8
        /// RFC 9110 §5.6.2
        static let token = Class(rawValue: 1)
        /// A token without upper case.
        static let name = Class(rawValue: 2)
        /// Visible, blank, tab, or beyond ASCII.
        static let value = Class(rawValue: 4)
        /// RFC 3986 §3.2
        static let authority = Class(rawValue: 16)
        static let scheme = Class(rawValue: 32)
    }

    /// For each octet the classes that it belongs to; `FieldSyntaxTests` compares it with their definitions.
    private static let classes: InlineArray<256, UInt8> = [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        4, 31, 12, 15, 31, 31, 31, 31, 28, 28, 31, 63, 28, 63, 63, 12,
        63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 28, 28, 12, 28, 12, 12,
        28, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61,
        61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 61, 28, 12, 28, 15, 31,
        15, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
        63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 12, 15, 12, 31, 0,
        12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
        12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
        12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
        12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
        12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
        12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
        12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
        12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12,
    ]

    @inline(__always) private static func all(_ bytes: Bytes, _ wanted: Class) -> Bool {
        var common = wanted.rawValue
        for index in 0..<bytes.count { common &= classes[Int(bytes[index])] }
        return common != 0
    }

    /// Whether name and value are such as a message may have; where the field stands is another matter.
    static func isSound(_ id: FieldName, _ name: Bytes, _ value: Bytes) -> Bool {
        switch id {
        case .method: return value.count > 0 && isToken(value)
        case .scheme: return isScheme(value)
        case .path: return value.count > 0 && isPath(value)
        case .authority, .host: return isAuthority(value)
        case .status: return HTTPStatus.parse(value) > 0
        // What begins with a colon is no name here: pseudo-headers that are unknown (§8.3).
        case .other, .underscored, .clientClaim: return isFieldName(name) && isFieldValue(value)
        default: return isFieldValue(value)
        }
    }

    @inline(__always) static func isToken(_ bytes: Bytes) -> Bool { all(bytes, .token) }

    /// Lower case (RFC 9113 §8.2.1), and something.
    @inline(__always) static func isFieldName(_ bytes: Bytes) -> Bool { bytes.count > 0 && all(bytes, .name) }

    /// No control characters, and no white space around it (RFC 9113 §8.2.1).
    @inline(__always) static func isFieldValue(_ bytes: Bytes) -> Bool {
        guard bytes.count > 0 else { return true }
        guard !isBlank(bytes[0]) && !isBlank(bytes[bytes.count - 1]) else { return false }
        return isVisible(bytes, from: 0x20) || all(bytes, .value)
    }

    @inline(__always) private static func isBlank(_ octet: UInt8) -> Bool { octet == 0x20 || octet == 0x09 }

    static func isPath(_ bytes: Bytes) -> Bool { isVisible(bytes, from: 0x21) }
    static func isAuthority(_ bytes: Bytes) -> Bool { all(bytes, .authority) }
    static func isScheme(_ bytes: Bytes) -> Bool { bytes.count > 0 && all(bytes, .scheme) }

    /// Whether each octet is at least `least`, and none is DEL. Eight at a time.
    @inline(__always) private static func isVisible(_ bytes: Bytes, from least: UInt8) -> Bool {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        var found: UInt64 = 0
        var index = 0
        while index + 8 <= bytes.count {
            let word = UnsafeRawPointer(bytes.base + index).loadUnaligned(as: UInt64.self)
            let deletes = word ^ (ones &* 0x7f)
            found |= (word &- ones &* UInt64(least)) & ~word | (deletes &- ones) & ~deletes
            index += 8
        }
        var isSound = found & highs == 0
        while index < bytes.count {
            if bytes[index] < least || bytes[index] == 0x7f { isSound = false }
            index += 1
        }
        return isSound
    }
}
