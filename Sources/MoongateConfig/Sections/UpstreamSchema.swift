extension ValueType<[UpstreamConfig]> {
    /// The mapping from names to upstreams.
    static var upstreams: ValueType {
        .dictionary(
            of: .upstream, keys: NameSyntax.name,
            each: { entry, decoding in
                let key = YAMLNode(
                    location: entry.keyLocation, content: .scalar(YAMLScalar(text: entry.key, isPlain: false)))
                return ValueType<String>.definition(of: .upstream).read(key, &decoding) != nil
            },
            name: { upstream, name in upstream.name = name })
    }
}

extension ValueType<UpstreamConfig> {
    fileprivate static var upstream: ValueType {
        .mapping(
            MappingSchema(
                name: "upstream",
                summary: "A named group of endpoints that serve the same thing, reached over HTTP/2: in cleartext, or"
                    + " with `tls`.",
                initial: UpstreamConfig(name: "", endpoints: []),
                fields: [
                    Field(
                        "endpoints", \.endpoints,
                        .list(of: .endpoint, atLeast: 1, identity: { "\($0.address.host):\($0.address.port)" }),
                        required: true,
                        "The servers: `127.0.0.1:50051`, `[::1]:50051`, `greeter.internal:50051`. All addresses of a"
                            + " name are used."),
                    Field(
                        "balance", \.balance, .choice(),
                        "How an endpoint is chosen for each request: in turn, or the one with the fewest requests of"
                            + " two drawn at random."),
                    Field(
                        "connect_timeout", \.connectTimeout, .duration(.milliseconds(1) ... .seconds(600)),
                        "Longest time to set up a connection."),
                    Field(
                        "dns_refresh", \.dnsRefresh, .duration(.seconds(1) ... .seconds(86400)),
                        "How often host names are resolved again."),
                    Field(
                        "limits", \.limits, .upstreamLimits,
                        "What it may have under way at a time. Default: no limits."),
                    Field("tls", \.tls, .upstreamTLS, absent: "cleartext", "TLS towards the endpoints."),
                ]))
    }
}

extension ValueType<UpstreamConfig.Endpoint> {
    /// The address alone, or a mapping with address and weight.
    fileprivate static var endpoint: ValueType {
        let address = ValueType<SocketAddressConfig>.endpoint
        let full: ValueType = .mapping(
            MappingSchema(
                name: "endpoint",
                summary: "One server of an upstream. In short: the address alone.",
                initial: UpstreamConfig.Endpoint(address: SocketAddressConfig(host: "", port: 0)),
                fields: [
                    Field("address", \.address, address, required: true, "Host and port."),
                    Field(
                        "weight", \.weight, .integer(1...1000),
                        "Share of the requests, relative to the other endpoints."),
                ]))
        return ValueType(.either([address.shape, full.shape])) { node, decoding in
            if case .mapping = node.content { return full.read(node, &decoding) }
            return address.read(node, &decoding).map { UpstreamConfig.Endpoint(address: $0) }
        }
    }
}
