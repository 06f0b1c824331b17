/// What scripts may write into header lists, so that no script can make a malformed or split message.
enum HeaderRules {
    /// Fields that one list may have after scripts have written to it.
    private static let fieldLimit = 4096

    static func hasUpperCase(_ name: Bytes) -> Bool {
        for index in 0..<name.count where name[index] &- 65 < 26 { return true }
        return false
    }

    /// Without the blanks at both ends, which are not part of a value (RFC 9110 §5.5) and forbidden in HTTP/2 (RFC 9113
    /// §8.2.1).
    static func trimmed(_ value: Bytes) -> Bytes {
        var start = 0
        var end = value.count
        while start < end, isBlank(value[start]) { start += 1 }
        while end > start, isBlank(value[end - 1]) { end -= 1 }
        return value[start..<end]
    }

    /// What is wrong with a field; `nil`: nothing.
    static func fault(name: Bytes, value: Bytes, isRequest: Bool) -> CallMessage? {
        guard isName(name, isRequest: isRequest) else {
            return "a name is no header name: lower-case letters, digits and '-'"
        }
        for index in 0..<value.count where value[index] < 32 && value[index] != 9 || value[index] == 127 {
            return "the value of a header contains a control character"
        }
        switch FieldName.identify(name) {
        case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade:
            // RFC 9113 §8.2.2.
            return "'connection', 'keep-alive', 'transfer-encoding' and 'upgrade' do not exist in HTTP/2"
        case .te where !value.equals("trailers"): return "header 'te' can only be 'trailers' in HTTP/2"
        case .path where !(value.count > 0 && (value[0] == UInt8(ascii: "/") || value.equals("*"))):
            return "':path' must begin with a slash"
        case .path where !FieldSyntax.isPath(value) || value.firstIndex(of: UInt8(ascii: "#")) != nil:
            return "':path' must not contain blanks or a fragment"
        case .method where value.isEmpty: return "':method' must not be empty"
        case .method where !FieldSyntax.isToken(value): return "':method' must be a token"
        case .scheme where !FieldSyntax.isScheme(value): return "':scheme' must be a scheme such as https"
        case .authority where !FieldSyntax.isAuthority(value), .host where !FieldSyntax.isAuthority(value):
            return "':authority' must be a host, with a port or without"
        case .contentLength where !isNumber(value): return "'content-length' must be a number"
        case .status where status(value) == nil: return ":status must be between 200-599"
        default: return nil
        }
    }

    /// A response status that a script may set: three digits, 200 to 599.
    static func status(_ value: Bytes) -> Int? {
        guard value.count == 3 else { return nil }
        var status = 0
        for index in 0..<3 {
            guard value[index] &- 48 < 10 else { return nil }
            status = status * 10 + Int(value[index] &- 48)
        }
        return (200...599).contains(status) ? status : nil
    }

    /// RFC 9110 §8.6: digits and nothing else. A list of them, as some accept, is read differently by different servers.
    private static func isNumber(_ value: Bytes) -> Bool {
        for index in 0..<value.count where value[index] &- 48 >= 10 { return false }
        return (1...19).contains(value.count)
    }

    /// RFC 9113 §8.3.1, §8.3.2: a message without these is malformed.
    static func isRequired(_ name: Bytes) -> Bool {
        switch FieldName.identify(name) {
        case .method, .scheme, .path, .status: true
        default: false
        }
    }

    /// Two of them would be read differently by different servers (RFC 9110 §8.6).
    static func isSingle(_ name: Bytes) -> Bool { FieldName.identify(name) == .contentLength }

    static func hasRoom(_ list: HeaderList, for count: Int) -> Bool {
        list.arenaSize + count <= HeaderList.arenaLimit && list.count < fieldLimit
    }

    /// A token (RFC 9110 §5.6.2) in lower case, or a pseudo-header of this kind of message.
    private static func isName(_ name: Bytes, isRequest: Bool) -> Bool {
        guard name.count > 0 else { return false }
        if name[0] == UInt8(ascii: ":") {
            switch FieldName.identify(name) {
            case .method, .scheme, .path, .authority: return isRequest
            case .status: return !isRequest
            default: return false
            }
        }
        for index in 0..<name.count where !isTokenCharacter(name[index]) { return false }
        return true
    }

    private static func isTokenCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "!"), UInt8(ascii: "#")...UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^")...UInt8(ascii: "`"), UInt8(ascii: "|"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 }
}
