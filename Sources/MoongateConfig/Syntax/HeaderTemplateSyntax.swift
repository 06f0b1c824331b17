/// Values of headers with variables: `%{client_address}`; `%%` is a percent sign.
enum HeaderTemplateSyntax {
    static let shape = TextShape(name: "header value", takesAnyScalar: true)

    private static let variables: [(name: String, part: HeaderTemplate.Part)] = [
        ("client_address", .clientAddress), ("request_id", .requestID), ("listener", .listener), ("route", .route),
        ("upstream", .upstream),
    ]

    static func parse(_ text: String) throws(SyntaxFault) -> HeaderTemplate {
        let text = try MatchSyntax.parseHeaderValue(text)
        guard text.utf8.first.map(isBlank) != true, text.utf8.last.map(isBlank) != true else {
            throw SyntaxFault.plain("the value begins or ends with a blank, which no header can")
        }
        var parts: [HeaderTemplate.Part] = []
        var literal = ""
        var rest = text[...]
        while let mark = rest.firstIndex(of: "%") {
            literal += rest[..<mark]
            rest = rest[rest.index(after: mark)...]
            if rest.first == "%" {
                literal += "%"
                rest = rest.dropFirst()
                continue
            }
            guard rest.first == "{", let end = rest.firstIndex(of: "}") else {
                throw SyntaxFault.plain("a single % stands in the value", hint: "write %% for a percent sign")
            }
            if !literal.isEmpty { parts.append(.text(literal)) }
            literal = ""
            parts.append(try variable(rest[rest.index(after: rest.startIndex)..<end]))
            rest = rest[rest.index(after: end)...]
        }
        literal += rest
        if !literal.isEmpty { parts.append(.text(literal)) }
        return HeaderTemplate(parts)
    }

    private static func variable(_ name: Substring) throws(SyntaxFault) -> HeaderTemplate.Part {
        if let known = variables.first(where: { $0.name == name }) { return known.part }
        if name.hasPrefix("header:") { return .header(try MatchSyntax.parseHeaderName(String(name.dropFirst(7)))) }
        let names = variables.map(\.name) + ["header:NAME"]
        throw SyntaxFault.unknownVariable(Spelling.suggestion(for: String(name), among: names), among: names)
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    // MARK: Names

    /// A header that may be changed: neither a pseudo-header nor one that belongs to the connection, and not one that
    /// the edge itself has to rely on.
    static func parseName(_ text: String) throws(SyntaxFault) -> String {
        if text.hasPrefix(":") {
            throw SyntaxFault("\(quoted(text)) is no header", hint: "rewrite changes path and authority")
        }
        let name = try MatchSyntax.parseHeaderName(text)
        switch name {
        case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te":
            throw SyntaxFault("\(quoted(name)) belongs to one connection and is never passed on")
        case "host":
            throw SyntaxFault("\"host\" is settled by the edge", hint: "rewrite: {authority: …} changes it")
        case "content-length", "grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-timeout":
            throw SyntaxFault("\(quoted(name)) says something about the call itself and cannot be changed here")
        default: return name
        }
    }
}
