extension ValueType<DNSConfig> {
    static var dns: ValueType {
        .mapping(
            MappingSchema(
                name: "dns",
                summary: "How host names of upstreams are resolved, see [Upstreams](upstreams.md#discovery).",
                initial: DNSConfig(),
                fields: [
                    Field(
                        "servers", \.servers, .list(of: .nameServer, identity: { "\($0.host):\($0.port)" }),
                        "The DNS servers: `10.0.0.53`, `10.0.0.53:5353`, `[::1]:53`. Default: those of"
                            + " `/etc/resolv.conf`."),
                    Field(
                        "timeout", \.timeout, .duration(.milliseconds(50) ... .seconds(60)),
                        "How long the first answer is waited for; twice as long with each further attempt."),
                    Field("attempts", \.attempts, .integer(1...10), "How often every server is asked."),
                ]))
    }
}

extension ValueType<SocketAddressConfig> {
    /// A literal address, with or without a port.
    fileprivate static var nameServer: ValueType {
        let shape = TextShape(
            name: "name server", pattern: "^(\\[[0-9A-Fa-f:.]+\\](:[0-9]{1,5})?|[0-9.]+(:[0-9]{1,5})?)$"
        ).shown
        return .text(shape, expected: "an address such as 10.0.0.53") { text, _ throws(SyntaxFault) in
            let hasPort = text.hasPrefix("[") ? !text.hasSuffix("]") : text.contains(":")
            let address = try AddressSyntax.parse(hasPort ? text : "\(text):53", as: .endpoint)
            guard HostSyntax.isIPv4(address.host) || HostSyntax.isIPv6(address.host) else {
                throw SyntaxFault(
                    "\(quoted(text)) is no IP address", hint: "a name server has no name that could be asked")
            }
            return address
        }
    }
}
