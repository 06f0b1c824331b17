extension ValueType<ProxyProtocolConfig> {
    /// The mode alone, or a mapping.
    static var proxyProtocol: ValueType {
        let mode = ValueType<ProxyProtocolConfig.Mode>.choice()
        let schema = MappingSchema(
            name: "proxy protocol",
            summary: "What proxies in front say before anything else: for whom they connect (PROXY protocol, versions 1"
                + " and 2). In short: `required` alone.",
            initial: ProxyProtocolConfig(),
            fields: [
                Field(
                    "mode", \.mode, mode,
                    "`required`: a connection without a header is refused. `optional`: it speaks for itself; then"
                        + " `trusted` must say whose header counts."),
                Field(
                    "trusted", \.trusted, .list(of: .addressBlock, atLeast: 1, identity: { $0 }),
                    "Addresses and CIDR blocks of the proxies. A header from elsewhere is not believed, and the connection"
                        + " refused. Empty: everybody who can reach the listener."),
                Field(
                    "timeout", \.timeout, .duration(.milliseconds(10) ... .seconds(60)),
                    "How long a header may take."),
            ])
        let full: ValueType = .mapping(schema) { draft, mapping, decoding in
            if draft.mode == .optional && draft.trusted.isEmpty && !mapping.has("trusted") {
                decoding.report(
                    mapping.location, "mode \"optional\" without \"trusted\"",
                    hint: "everybody could claim any address: say which proxies are believed, such as [10.0.0.0/8]")
            }
            return draft
        }
        return ValueType(.either([mode.shape, full.shape])) { node, decoding in
            if case .mapping = node.content { return full.read(node, &decoding) }
            guard let word = mode.read(node, &decoding) else { return nil }
            guard word == .optional else { return ProxyProtocolConfig(mode: word) }
            decoding.report(
                node.location, "mode \"optional\" without \"trusted\"",
                hint: "write {mode: optional, trusted: [10.0.0.0/8]}")
            return nil
        }
    }
}

extension ValueType<String> {
    /// An IP address or a CIDR block; whether the bits behind the prefix are clear is seen when it is compiled.
    static var addressBlock: ValueType {
        let shape = TextShape(name: "address or CIDR block", pattern: "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$").shown
        return .text(shape, expected: "an address or a block such as 10.0.0.0/8") { text, _ throws(SyntaxFault) in
            let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            let width = HostSyntax.isIPv4(parts[0]) ? 32 : HostSyntax.isIPv6(parts[0]) ? 128 : 0
            let isPrefix = parts.count == 1 || Int(parts[1]).map { (0...width).contains($0) } ?? false
            guard width > 0, isPrefix else {
                throw SyntaxFault(
                    "\(quoted(text)) is no IP address or CIDR block", hint: "write 10.0.0.0/8 or fd00::/8")
            }
            return text
        }
    }
}
