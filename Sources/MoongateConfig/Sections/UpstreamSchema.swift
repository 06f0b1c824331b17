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
                alternatives: [.exactlyOne(["endpoints"], ["endpoints_file"])],
                fields: [
                    Field(
                        "endpoints", \.endpoints, .endpoints,
                        "The servers: `127.0.0.1:50051`, `[::1]:50051`, `greeter.internal:50051`. All addresses of a"
                            + " name are used. `dns_srv: name` takes servers, ports and weights from DNS."),
                    Field(
                        "endpoints_file", \.endpointsFile, .path,
                        "A file that has the list of `endpoints` instead, in YAML or JSON. It is watched."),
                    Field(
                        "balance", \.balance, .choice(),
                        "How an endpoint is chosen for each request: in turn; the one with the fewest requests, for its"
                            + " weight, of two drawn at random; at random; or by the hash of something in the request"
                            + " (`hash_on`), on a ring or with Maglev's table."),
                    Field(
                        "hash_on", \.hashOn, .list(of: .hashSource),
                        "What is hashed for `ring_hash` and `maglev`: the first of these that a request has. One that has"
                            + " none goes to any endpoint, unless a policy calls `setHashKey`."),
                    Field("ring_hash", \.ringHash, .ringHash, "The ring of `balance: ring_hash`."),
                    Field("maglev", \.maglev, .maglev, "The table of `balance: maglev`."),
                    Field(
                        "connect_timeout", \.connectTimeout, .duration(.milliseconds(1) ... .seconds(600)),
                        "Longest time to set up a connection."),
                    Field(
                        "dns_refresh", \.dnsRefresh, .duration(.seconds(1) ... .seconds(86400)),
                        "After how long host names are resolved again at the latest; sooner where the time to live that"
                            + " DNS gives is shorter (1 s at least)."),
                    Field(
                        "health_check", \.healthCheck, .healthCheck, absent: "no checks",
                        "How its endpoints are checked."),
                    Field(
                        "outlier_detection", \.outlierDetection, .outlierDetection, absent: "nothing is ejected",
                        "When an endpoint is taken out because requests to it fail."),
                    Field(
                        "panic_threshold", \.panicThreshold, .integer(0...100),
                        "Percent of the endpoints: if fewer are healthy, all are used; 0: never, so that requests fail"
                            + " when no endpoint is healthy."),
                    Field(
                        "slow_start", \.slowStart, .slowStart, absent: "the full share at once",
                        "How an endpoint that has become healthy comes to its share of the requests."),
                    Field(
                        "connection", \.connection, .upstreamConnection, absent: "20 s for a dead host, no other limit",
                        "How long connections may live and be silent."),
                    Field(
                        "limits", \.limits, .upstreamLimits,
                        "What it may have under way at a time. Default: no limits."),
                    Field("tls", \.tls, .upstreamTLS, absent: "cleartext", "TLS towards the endpoints."),
                ]), finish: finish)
    }

    /// Settings that would do nothing are mistakes.
    private static func finish(
        _ upstream: UpstreamConfig, _ mapping: YAMLMapping, _ decoding: inout Decoding
    ) -> UpstreamConfig {
        func check(_ key: String, _ isUsed: Bool, _ hint: String) {
            guard mapping.has(key), !isUsed else { return }
            decoding.report(
                mapping.location(of: key), "\(quoted(key)) does nothing with balance \(upstream.balance.rawValue)",
                hint: hint)
        }
        check("hash_on", upstream.balance.isByHash, "write balance: ring_hash or balance: maglev")
        check("ring_hash", upstream.balance == .ringHash, "write balance: ring_hash")
        check("maglev", upstream.balance == .maglev, "write balance: maglev")
        return upstream
    }
}

extension ValueType<[UpstreamConfig.Endpoint]> {
    static var endpoints: ValueType {
        let list: ValueType = .list(
            of: .endpoint, atLeast: 1, identity: { "\($0.address.host):\($0.address.port)" })
        // Without a default to show: an upstream has endpoints or a file of them.
        return list.map { endpoints, _, _ in endpoints }
    }
}

extension ValueType<UpstreamConfig.Endpoint> {
    private struct Draft {
        var address: SocketAddressConfig?
        var service: String?
        var weight = UpstreamConfig.Endpoint.standard.weight
        var priority = UpstreamConfig.Endpoint.standard.priority
    }

    /// The address alone, or a mapping with more about it.
    fileprivate static var endpoint: ValueType {
        let address = ValueType<SocketAddressConfig>.endpoint
        let full: ValueType = .mapping(
            MappingSchema(
                name: "endpoint",
                summary:
                    "One server of an upstream, or a name behind which there are some. In short: the address alone.",
                initial: Draft(),
                alternatives: [.exactlyOne(["address"], ["dns_srv"])],
                fields: [
                    Field("address", \.address, address, "Host and port."),
                    Field(
                        "dns_srv", \.service, .serviceName,
                        "Name of SRV records, such as `_grpc._tcp.greeter.internal`: hosts, ports, weights and priorities"
                            + " are those of the records."),
                    Field(
                        "weight", \.weight, .integer(1...1000),
                        "Share of the requests, relative to the other endpoints."),
                    Field(
                        "priority", \.priority, .integer(0...127),
                        "0 is used first; a higher number when too few endpoints of those below are usable. With"
                            + " `dns_srv`: that of the records with the lowest priority, the others follow."),
                ])
        ) { draft, mapping, decoding in
            if let service = draft.service {
                if mapping.has("weight") {
                    decoding.report(
                        mapping.location(of: "weight"), "\(quoted("weight")) does nothing with \(quoted("dns_srv"))",
                        hint: "the weights are those of the SRV records")
                }
                return UpstreamConfig.Endpoint(
                    address: SocketAddressConfig(host: service, port: 0), lookup: .service, priority: draft.priority)
            }
            return draft.address.map {
                UpstreamConfig.Endpoint(address: $0, weight: draft.weight, priority: draft.priority)
            }
        }
        return ValueType(.either([address.shape, full.shape])) { node, decoding in
            if case .mapping = node.content { return full.read(node, &decoding) }
            return address.read(node, &decoding).map { UpstreamConfig.Endpoint(address: $0) }
        }
    }
}

extension UpstreamConfig.Endpoint {
    /// What holds where nothing is said.
    fileprivate static var standard: UpstreamConfig.Endpoint {
        UpstreamConfig.Endpoint(address: SocketAddressConfig(host: "", port: 0))
    }
}

extension ValueType<String> {
    fileprivate static var serviceName: ValueType {
        let shape = TextShape(name: "service name", pattern: "^[A-Za-z0-9_.-]{1,254}$").shown
        return .text(shape, expected: "a name such as _grpc._tcp.greeter.internal") { text, _ throws(SyntaxFault) in
            guard HostSyntax.isHost(text), !HostSyntax.looksLikeIPv4(text) else {
                throw SyntaxFault(
                    "\(quoted(text)) is no name of SRV records", hint: "write it without a port, as DNS has it")
            }
            return text.lowercased()
        }
    }
}
