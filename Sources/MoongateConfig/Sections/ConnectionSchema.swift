extension ValueType<ListenerConnectionConfig> {
    static var listenerConnection: ValueType {
        .mapping(
            MappingSchema(
                name: "client connection",
                summary: "How long a client's connection may live and be silent. See"
                    + " [Connections](connections.md).",
                initial: ListenerConnectionConfig(),
                fields: [
                    Field(
                        "handshake_timeout", \.handshakeTimeout, .duration(.zero ... .seconds(600)),
                        "Longest time for TLS and the beginning of HTTP/2 together; `0s`: no limit."),
                    Field(
                        "request_headers_timeout", \.requestHeadersTimeout, .duration(.zero ... .seconds(600)),
                        "Longest time from the first byte of a request's headers, or of another frame but DATA, to the last;"
                            + " `0s`: no limit."),
                    Field(
                        "request_body_timeout", \.requestBodyTimeout, .duration(.zero ... .seconds(86400)),
                        "Longest silence of a client in the middle of a request, while there is no response, or behind a"
                            + " complete one that is not gRPC; `0s`: no limit. Between two messages a gRPC stream may be silent"
                            + " for as long as the route's `idle_timeout` lets it."),
                    Field(
                        "send_timeout", \.sendTimeout, .duration(.zero ... .seconds(3600)),
                        "How long a client may leave unread what is sent to it; `0s`: no limit."),
                    Field(
                        "max_age", \.maxAge, .duration(.seconds(1) ... .seconds(30 * 86400)), absent: "no limit",
                        "Clients are asked to use a new connection (GOAWAY) after this time, a tenth more or less, so that"
                            + " balancers in front can spread them anew."),
                    Field(
                        "max_age_grace", \.maxAgeGrace, .duration(.seconds(1) ... .seconds(30 * 86400)),
                        absent: "until they end",
                        "How long streams may go on behind `max_age`. Those left then end with `UNAVAILABLE`."),
                    Field(
                        "max_idle", \.maxIdle, .duration(.seconds(1) ... .seconds(30 * 86400)), absent: "no limit",
                        "Connections without a stream for so long are ended (GOAWAY)."),
                    Field(
                        "keepalive", \.keepalive, .clientKeepalive, absent: "no PING",
                        "Finds clients that are gone without a word."),
                ])
        ) { connection, mapping, decoding in
            if connection.maxAgeGrace != nil, connection.maxAge == nil {
                decoding.report(
                    mapping.location(of: "max_age_grace"), "max_age_grace without max_age",
                    hint: "it begins when max_age is over")
            }
            return connection
        }
    }
}

extension ValueType<KeepaliveConfig> {
    fileprivate static var clientKeepalive: ValueType {
        .mapping(
            MappingSchema(
                name: "keepalive",
                summary: "A client that has been silent is sent a PING; without an answer its connection is closed.",
                initial: KeepaliveConfig(),
                fields: [
                    Field(
                        "interval", \.interval, .duration(.seconds(1) ... .seconds(86400)), required: true,
                        "Silence before a PING."),
                    Field(
                        "timeout", \.timeout, .duration(.seconds(1) ... .seconds(600)),
                        "How long an answer may take."),
                ]))
    }
}

/// The keys of an upstream's keepalive as they stand in the file.
private struct UpstreamKeepaliveDraft {
    var keepalive = KeepaliveConfig()
    var allowFrequent: Void?
}

extension ValueType<KeepaliveConfig> {
    /// gRPC servers end connections with too many PINGs (`too_many_pings`): more than one in 5 minutes, unless they are
    /// set up for that (gRFC A8).
    fileprivate static var upstreamKeepalive: ValueType {
        let least = Duration.seconds(300)
        let schema = MappingSchema(
            name: "upstream keepalive",
            summary: "An upstream that has been silent is sent a PING, while there are streams; without an answer its"
                + " connection is closed.",
            initial: UpstreamKeepaliveDraft(),
            fields: [
                Field(
                    "interval", \.keepalive.interval, .duration(.seconds(1) ... .seconds(86400)), required: true,
                    "Silence before a PING, `5m` at least."),
                Field(
                    "timeout", \.keepalive.timeout, .duration(.seconds(1) ... .seconds(600)),
                    "How long an answer may take."),
                Field(
                    "allow_frequent", \.allowFrequent, .alwaysTrue(insteadOfFalse: "leave it out"),
                    "The upstream's servers take PINGs more often than every 5 minutes."),
            ])
        return .mapping(schema) { draft, mapping, decoding in
            if draft.keepalive.interval < least, draft.allowFrequent == nil {
                decoding.report(
                    mapping.location(of: "interval"), "gRPC servers cut off who sends PINGs more often than every 5m",
                    hint: "add allow_frequent: true if those of this upstream are set up for it")
            }
            return draft.keepalive
        }
    }
}

extension ValueType<ListenerLimitsConfig> {
    static var listenerLimits: ValueType {
        .mapping(
            MappingSchema(
                name: "listener limits",
                summary:
                    "Connections that the listener takes, and what one connection may ask of it."
                    + " See [Reliability](reliability.md#abuse).",
                initial: ListenerLimitsConfig(),
                fields: [
                    Field(
                        "connections", \.connections, .integer(1...10_000_000), absent: "no limit",
                        "Connections in all. One more is closed at once."),
                    Field(
                        "connections_per_address", \.connectionsPerAddress, .integer(1...10_000_000),
                        absent: "no limit",
                        "Connections from one IPv4 address, or from one /64 network of IPv6. One more is closed at once."
                    ),
                    Field(
                        "connection_rate", \.connectionRate, .integer(1...1_000_000), absent: "no limit",
                        "New connections per second. Further ones wait in the kernel's queue, so that a flood of them, each"
                            + " with a TLS handshake, leaves the workers time for those that are there."),
                    Field(
                        "pending_handshakes", \.pendingHandshakes, .integer(1...1_000_000),
                        "Connections of one worker on which HTTP/2 has not begun. For one more, the oldest of them is closed."
                    ),
                    Field(
                        "response_buffer", \.responseBuffer, .size((64 << 10)...(1 << 30)),
                        "Bytes of responses that one connection may have the edge hold: what its client does not take, and"
                            + " what policies collect. Windows at the servers do not become larger than that allows, 4 KiB for"
                            + " each stream included. Where that is more, or scripts make more, the streams that have waited"
                            + " longest, two seconds at least, are reset."),
                    Field(
                        "request_buffer", \.requestBuffer, .size((64 << 10)...(1 << 30)),
                        "Bytes of requests that one connection may have the edge hold. Beyond it in heads, new streams are"
                            + " refused (`REFUSED_STREAM`) until others have ended; beyond it in bodies that wait for"
                            + " upstreams, the connection's window stays closed until they take them; beyond it in bodies"
                            + " that policies collect, the largest are answered with `RESOURCE_EXHAUSTED` or 413, but one;"
                            + " beyond it in what calls of policies carry that are waited for, so is the request whose call"
                            + " is one too many."
                    ),
                    Field(
                        "control_frames", \.controlFrames, .integer(10...1_000_000),
                        "Frames of one kind that bring nothing (PING, PRIORITY, empty DATA and the like; ten times as many"
                            + " WINDOW_UPDATE, a tenth of that SETTINGS) that one connection may send in a row. A tenth of"
                            + " that more is allowed each second, and more on a connection that does work."),
                    Field(
                        "resets", \.resets, .integer(10...1_000_000),
                        "Streams that the client of one connection may reset, and as many that it makes the edge reset by"
                            + " breaking rules. Each stream that ends well allows one more, and each second a thirtieth."
                    ),
                ]))
    }
}

extension ValueType<UpstreamConnectionConfig> {
    static var upstreamConnection: ValueType {
        .mapping(
            MappingSchema(
                name: "upstream connection",
                summary:
                    "How long a connection to an upstream may live and be silent. See [Connections](connections.md).",
                initial: UpstreamConnectionConfig(),
                fields: [
                    Field(
                        "max_age", \.maxAge, .duration(.seconds(1) ... .seconds(30 * 86400)), absent: "no limit",
                        "A connection takes no new streams after this time, a tenth more or less, and ends with its last"
                            + " one."),
                    Field(
                        "max_idle", \.maxIdle, .duration(.seconds(1) ... .seconds(30 * 86400)), absent: "no limit",
                        "Connections without a stream for so long are ended."),
                    Field(
                        "keepalive", \.keepalive, .upstreamKeepalive, absent: "no PING",
                        "Finds servers that have stopped without a word. The kernel finds hosts that are gone, see"
                            + " `tcp_user_timeout`."),
                    Field(
                        "tcp_user_timeout", \.tcpUserTimeout, .duration(.seconds(1) ... .seconds(3600)),
                        "How long data may stay without acknowledgement, and a silent connection without an answer to"
                            + " the kernel's probes, before the connection counts as dead."),
                ]))
    }
}
