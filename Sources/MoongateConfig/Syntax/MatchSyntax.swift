/// The texts of a route's match: hosts, gRPC names, paths, header names and values.
enum MatchSyntax {
    // MARK: Hosts

    static let host = TextShape(name: "host", pattern: "^(\\*\\.)?[^*:/\\[\\]]+$|^\\[?[0-9A-Fa-f:.]+\\]?$").shown

    /// Lower case, without brackets and without a dot at the end.
    static func parseHost(_ text: String) throws(SyntaxFault) -> String {
        if text == "*" { throw SyntaxFault("\"*\" is no host", hint: "without \"hosts\" every host matches") }
        if text.contains("/") {
            throw SyntaxFault("\(quoted(text)) is no host", hint: "write the host alone, without scheme and path")
        }
        if HostSyntax.isIPv6(text) { return text.lowercased() }
        if text.hasPrefix("[") { return try parseBracketed(text) }
        if let colon = text.firstIndex(of: ":") {
            throw SyntaxFault(
                "the host \(quoted(text)) has a port",
                hint: "write \(quoted(text[..<colon])): the port never takes part in matching")
        }
        let isWildcard = text.hasPrefix("*.")
        let name = isWildcard ? text.dropFirst(2) : text[...]
        if name.contains("*") {
            throw SyntaxFault(
                "\(quoted(text)) is no host", hint: "\"*.\" can only stand at the start, for whole labels")
        }
        if name.utf8.contains(where: { $0 >= 0x80 }) {
            throw SyntaxFault("\(quoted(text)) is not ASCII", hint: "write the name as clients send it: xn--…")
        }
        guard HostSyntax.isHost(name), !(isWildcard && HostSyntax.looksLikeIPv4(name)) else {
            throw SyntaxFault("\(quoted(text)) is no host")
        }
        let lowered = text.lowercased()
        return lowered.hasSuffix(".") ? String(lowered.dropLast()) : lowered
    }

    private static func parseBracketed(_ text: String) throws(SyntaxFault) -> String {
        let address = text.dropFirst().prefix { $0 != "]" }
        guard HostSyntax.isIPv6(address) else { throw SyntaxFault("\(quoted(address)) is no IPv6 address") }
        guard text.hasSuffix("]") else {
            throw SyntaxFault(
                "the host \(quoted(text)) has a port",
                hint: "write \(quoted(address)): the port never takes part in matching")
        }
        return address.lowercased()
    }

    // MARK: gRPC names (the Gateway API's rules for GRPCRoute)

    static let service = TextShape(
        name: "gRPC service", pattern: "^\\.?[A-Za-z_][A-Za-z_0-9]*(\\.[A-Za-z_][A-Za-z_0-9]*)*$"
    ).shown
    static let method = TextShape(name: "gRPC method", pattern: "^[A-Za-z_][A-Za-z_0-9]*$").shown

    static func parseService(_ text: String) throws(SyntaxFault) -> String {
        let name = text.hasPrefix(".") ? text.dropFirst() : text[...]
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 1024, parts.allSatisfy(isIdentifier) else {
            throw SyntaxFault("\(quoted(text)) is no gRPC service", hint: nameHint(text, "helloworld.Greeter"))
        }
        return text
    }

    static func parseMethod(_ text: String) throws(SyntaxFault) -> String {
        guard text.utf8.count <= 1024, isIdentifier(text[...]) else {
            throw SyntaxFault("\(quoted(text)) is no gRPC method", hint: nameHint(text, "SayHello"))
        }
        return text
    }

    private static func nameHint(_ text: String, _ example: String) -> String {
        if text.contains("*") { return "patterns are not possible here; leave the key out to match any" }
        return text.contains("/") ? "write the name without slashes, such as \(example)" : "write it like \(example)"
    }

    private static func isIdentifier(_ text: Substring) -> Bool {
        guard let first = text.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
    }

    // MARK: Paths

    static let path = TextShape(name: "request path", pattern: "^/[!-\"$->@-~]*$").shown

    static func parsePath(_ text: String) throws(SyntaxFault) -> String {
        guard text.hasPrefix("/") else {
            throw SyntaxFault("the path \(quoted(text)) does not begin with \"/\"")
        }
        if text.contains("?") {
            throw SyntaxFault("the path \(quoted(text)) has a query", hint: "paths are compared without the query")
        }
        if text.contains("#") {
            throw SyntaxFault("the path \(quoted(text)) has a fragment", hint: "write %23 if the character is meant")
        }
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw SyntaxFault(
                "the path \(quoted(text)) has characters that no request can send",
                hint: "write \(quoted(encoded(text)))")
        }
        return text
    }

    /// With everything that is not visible ASCII as `%XX`.
    private static func encoded(_ text: String) -> String {
        text.utf8.map { octet -> String in
            guard !(0x21...0x7E).contains(octet) else { return String(UnicodeScalar(octet)) }
            let hex = String(octet, radix: 16, uppercase: true)
            return "%" + (octet < 16 ? "0" : "") + hex
        }.joined()
    }

    // MARK: Headers

    static let headerName = TextShape(name: "header name", pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$").shown
    static let headerValue = TextShape(name: "text", takesAnyScalar: true)

    /// In lower case.
    static func parseHeaderName(_ text: String) throws(SyntaxFault) -> String {
        if text.hasPrefix(":") {
            throw SyntaxFault("\(quoted(text)) is no header", hint: "match it with hosts, path, service or method")
        }
        // RFC 9110 §5.6.2: token.
        let isToken = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
        }
        guard !text.isEmpty, text.utf8.count <= 256, isToken else {
            throw SyntaxFault("\(quoted(text)) is no header name")
        }
        return text.lowercased()
    }

    static func parseHeaderValue(_ text: String) throws(SyntaxFault) -> String {
        guard text.utf8.count <= 4096 else { throw SyntaxFault.plain("the value is longer than 4096 bytes") }
        guard text.utf8.allSatisfy({ ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x09 }) else {
            throw SyntaxFault.plain("the value has control characters, which no header can hold")
        }
        return text
    }

    static func parseNonEmptyHeaderValue(_ text: String) throws(SyntaxFault) -> String {
        guard !text.isEmpty else {
            throw SyntaxFault.plain("the text is empty", hint: "write present: true if any value will do")
        }
        return try parseHeaderValue(text)
    }
}
