extension ValueType<ListenerConfig> {
    static var listener: ValueType {
        let schema = MappingSchema(
            name: "listener",
            summary: "An address on which clients are accepted. Without `tls` they speak HTTP/2 in cleartext with prior"
                + " knowledge (h2c), with it HTTP/2 over TLS (ALPN `h2`).",
            initial: ListenerConfig(name: "", address: SocketAddressConfig(host: "", port: 0)),
            fields: [
                Field(
                    "name", \.name, .name,
                    "What routes, logs and metrics call the listener. Default: the address as written."),
                Field(
                    "address", \.address, .listening, required: true,
                    "Address and port: `0.0.0.0:8080`, `[::]:8080`, or `:8080` for every address of the machine. Port"
                        + " 0 is any free one."),
                Field("tls", \.tls, .listenerTLS, absent: "no TLS", "Certificates and versions."),
                Field(
                    "policies", \.policies, .list(of: .policyReference),
                    "Run in this order on every request of the listener, before a route is chosen."),
                Field(
                    "max_concurrent_streams", \.maxConcurrentStreams, .integer(1...1_000_000),
                    "Streams that one connection may have open at a time (`SETTINGS_MAX_CONCURRENT_STREAMS`)."),
                Field(
                    "max_header_bytes", \.maxHeaderBytes, .size(1024...(1 << 20)),
                    "Largest list of request headers: names and values, and 32 for each field (RFC 9113 §6.5.2)."),
                Field(
                    "max_header_fields", \.maxHeaderFields, .integer(16...10_000),
                    "Most fields of a request's headers, those with a colon and each part of a `cookie` that the client has"
                        + " split included. Requests with more are answered with 431, or `INTERNAL`."),
                Field(
                    "proxy_protocol", \.proxyProtocol, .proxyProtocol, absent: "off",
                    "Proxies in front say for whom they connect."),
                Field(
                    "forward_client_certificate", \.forwardClientCertificate, .forwardClientCertificate,
                    absent: "sanitize", "What becomes of the header `x-forwarded-client-cert`."),
                Field(
                    "connection", \.connection, .listenerConnection, absent: "its defaults",
                    "How long connections may live and be silent."),
                Field(
                    "limits", \.limits, .listenerLimits, absent: "its defaults",
                    "How many connections the listener takes, and what one may ask of it."),
                Field(
                    "forwarded", \.forwarded, .forwarded, absent: "as without proxies in front",
                    "`x-forwarded-for` and its kin."),
                Field(
                    "paths", \.paths, .choice(), absent: "`strict`",
                    "How paths become canonical before policies and routes see them. `strict`: spellings that servers read in"
                        + " different ways are refused; `lenient`: unreserved characters are decoded, dot segments are"
                        + " refused, and nothing else. See [Paths](routing.md#paths)."),
                Field(
                    "headers_with_underscores", \.headersWithUnderscores, .choice(), absent: "`drop`",
                    "Request headers, and metadata of gRPC, with `_` in their names, which many servers take for `-`."
                        + " `drop`: they are removed; `allow`: they pass, but for other spellings of headers that the edge or"
                        + " a policy writes or removes; `refuse`: the request is answered with 400, or `INTERNAL`."),
                Field(
                    "request_id", \.requestID, .choice(), absent: "`off`",
                    "What becomes of `x-request-id`. `replace`: every request gets a new one; `keep`: one that the client"
                        + " sent stays; `off`: none is made."),
                Field(
                    "never_index", \.neverIndex, .list(of: .editedHeader, identity: { $0 }),
                    "Request headers that are never kept in a compression table on the way to the upstream, whose"
                        + " connections clients share (RFC 7541 §7.1). Credentials in well-known headers never are."),
                Field(
                    "grpc_health", \.grpcHealth,
                    ValueType<Void>.alwaysTrue(insteadOfFalse: "remove the key").map { _, _, _ in true },
                    "`true`: answers `grpc.health.v1.Health/Check` for balancers in front, before any policy and whatever"
                        + " the service: `SERVING`, and `NOT_SERVING` once the process drains. Default: such calls are"
                        + " routed like others."),
                Field(
                    "metadata", \.metadata, .metadata,
                    "Values by namespace and key, as a route has them. `handle:virtualHost():metadata()` reads them."),
            ])
        return .mapping(schema) { draft, mapping, decoding in
            var listener = draft
            let address = mapping.value(of: "address")
            listener.location = address?.location ?? mapping.location
            if listener.name.isEmpty, case .scalar(let scalar) = address?.content { listener.name = scalar.text }
            // A listener without an address has no name yet either, and has been reported.
            let place = mapping.value(of: "name")?.location ?? address?.location ?? mapping.location
            if !listener.name.isEmpty, mapping.has("name") || !isRepeated(listener, decoding) {
                decoding.define(listener.name, as: .listener, at: place)
            }
            return listener
        }
    }

    /// Two listeners that differ in nothing would be reported twice: for the address and for the name made from it.
    private static func isRepeated(_ listener: ListenerConfig, _ decoding: Decoding) -> Bool {
        listener.address.port != 0 && decoding.names.isDefined(listener.name, as: .listener)
    }
}
