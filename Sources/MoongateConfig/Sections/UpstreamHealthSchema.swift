extension ValueType<HealthCheckConfig> {
    /// The keys of a health check as they stand in the file.
    private struct Draft {
        var grpc: HealthCheckConfig.GRPC?
        var http: HealthCheckConfig.HTTP?
        var tcp: Void?
        var common = HealthCheckConfig()
    }

    static var healthCheck: ValueType {
        let schema = MappingSchema(
            name: "health check",
            summary: "Asks every endpoint at intervals whether it is healthy, once for the process. The first check"
                + " decides by itself.",
            initial: Draft(),
            alternatives: [.exactlyOne(["grpc"], ["http"], ["tcp"])],
            fields: [
                Field(
                    "grpc", \.grpc, .grpcCheck,
                    "Calls `grpc.health.v1.Health/Check`; `{}` asks for the server as a whole."),
                Field("http", \.http, .httpCheck, "Sends `GET` over HTTP/2."),
                Field(
                    "tcp", \.tcp, .noSettings("tcp check", "A connection that comes about. It has no keys: `tcp: {}`."),
                    "Makes a connection; `{}`."),
                Field(
                    "interval", \.common.interval, .duration(.milliseconds(10) ... .seconds(86400)),
                    "From one check to the next."),
                Field(
                    "jitter_percent", \.common.jitterPercent, .integer(0...50),
                    "By how much of `interval` it varies at random, so that checks do not come all at once."),
                Field(
                    "no_traffic_interval", \.common.noTrafficInterval, .duration(.milliseconds(10) ... .seconds(86400)),
                    absent: "`interval`", "In place of `interval` while the upstream gets no requests."),
                Field(
                    "timeout", \.common.timeout, .duration(.milliseconds(1) ... .seconds(600)),
                    "Longest time for one check, the connection included."),
                Field(
                    "healthy_threshold", \.common.healthyThreshold, .integer(1...1000),
                    "Checks in a row that have to pass before an unhealthy endpoint is used again."),
                Field(
                    "unhealthy_threshold", \.common.unhealthyThreshold, .integer(1...1000),
                    "Checks in a row that have to fail without an answer before an endpoint is used no more. An answer"
                        + " that says it is not healthy counts at once."),
            ])
        return .mapping(schema) { draft, _, _ in
            var check = draft.common
            if let grpc = draft.grpc { check.probe = .grpc(grpc) }
            if let http = draft.http { check.probe = .http(http) }
            return check
        }
    }
}

extension ValueType<HealthCheckConfig.GRPC> {
    fileprivate static var grpcCheck: ValueType {
        .mapping(
            MappingSchema(
                name: "grpc check",
                summary: "A call of `grpc.health.v1.Health/Check`. `SERVING` passes, and so does `UNIMPLEMENTED`, the"
                    + " word of a server without that service; any other answer fails, `NOT_FOUND` for an unknown"
                    + " service among them.",
                initial: HealthCheckConfig.GRPC(),
                fields: [
                    Field(
                        "service", \.service, .plainText, "What is asked for. Default: the server as a whole."),
                    Field(
                        "authority", \.authority, .authorityText, absent: "the endpoint's address",
                        "`:authority` of the call."),
                ]))
    }
}

extension ValueType<HealthCheckConfig.HTTP> {
    fileprivate static var httpCheck: ValueType {
        .mapping(
            MappingSchema(
                name: "http check",
                summary: "A `GET` over HTTP/2, which is what upstreams are spoken to in.",
                initial: HealthCheckConfig.HTTP(),
                fields: [
                    Field("path", \.path, .checkedPath, required: true, "The path, with a query if need be."),
                    Field(
                        "host", \.host, .authorityText, absent: "the endpoint's address",
                        "`:authority` of the request."),
                    Field(
                        "expected_statuses", \.expectedStatuses,
                        .list(of: .integer(200...599), atLeast: 1, identity: { String($0) }),
                        "Statuses that pass. Default: 200."),
                ]))
    }
}

extension ValueType<Void> {
    /// A mapping without keys.
    fileprivate static func noSettings(_ name: String, _ summary: String) -> ValueType {
        let shape = MappingShape(name: name, summary: summary, fields: [], alternatives: [])
        return ValueType(.mapping(shape)) { node, decoding in
            guard case .mapping(let entries) = node.content else {
                decoding.reportMismatch(node, expected: "a mapping (\(name))", hint: "write {}")
                return nil
            }
            for entry in entries {
                decoding.report(
                    entry.keyLocation, "unknown key \(quoted(entry.key)) in \(name)", hint: "it has none: {}")
            }
            return ()
        }
    }
}

extension ValueType<String> {
    private static func visible(_ text: String) -> Bool { text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f } }

    fileprivate static var plainText: ValueType {
        .text(TextShape(name: "text").shown, expected: "a text") { text, _ throws(SyntaxFault) in
            guard text.utf8.count <= 1000 else { throw SyntaxFault("the text is longer than 1000 bytes") }
            return text
        }
    }

    fileprivate static var authorityText: ValueType {
        .text(TextShape(name: "host", pattern: "^[!-~]+$").shown, expected: "a host name") {
            text, _ throws(SyntaxFault) in
            guard !text.isEmpty, visible(text) else {
                throw SyntaxFault("\(quoted(text)) is no host name", hint: "visible ASCII characters only")
            }
            return text
        }
    }

    fileprivate static var checkedPath: ValueType {
        .text(TextShape(name: "path", pattern: "^/[!-~]*$").shown, expected: "a path such as /healthz") {
            text, _ throws(SyntaxFault) in
            guard text.hasPrefix("/"), visible(text) else {
                throw SyntaxFault(
                    "\(quoted(text)) is no path", hint: "it begins with / and has visible ASCII characters only")
            }
            return text
        }
    }
}

extension ValueType<OutlierDetectionConfig> {
    static var outlierDetection: ValueType {
        .mapping(
            MappingSchema(
                name: "outlier detection",
                summary: "Takes an endpoint out for a while when requests to it fail in a row. Counted and decided for"
                    + " the process. `{}` is enough to switch it on.",
                initial: OutlierDetectionConfig(),
                fields: [
                    Field(
                        "consecutive_errors", \.consecutiveErrors, .integer(0...1_000_000),
                        "Responses in a row with one of `error_statuses`, or with HTTP's 5xx where it is not gRPC; 0:"
                            + " they do not count."),
                    Field(
                        "error_statuses", \.errorStatuses, .list(of: .choice(), atLeast: 1, identity: { $0.rawValue }),
                        "Statuses of gRPC that count as errors. Default: `unknown`, `internal`, `unavailable`,"
                            + " `data_loss`."),
                    Field(
                        "consecutive_local_errors", \.consecutiveLocalErrors, .integer(0...1_000_000),
                        "Attempts in a row that got no response: connections refused or lost, streams reset, timeouts of"
                            + " the route; 0: they do not count."),
                    Field(
                        "interval", \.interval, .duration(.milliseconds(1) ... .seconds(86400)),
                        "After each such time without an ejection, one of the earlier ones is forgotten."),
                    Field(
                        "base_ejection_time", \.baseEjectionTime, .duration(.milliseconds(1) ... .seconds(86400)),
                        "How long the first ejection lasts; the second lasts twice as long, and so on."),
                    Field(
                        "max_ejection_time", \.maxEjectionTime, .duration(.milliseconds(1) ... .seconds(86400)),
                        "How long an ejection lasts at most."),
                    Field(
                        "max_ejection_percent", \.maxEjectionPercent, .integer(0...100),
                        "Share of the endpoints that may be out at a time. One may be in any case, unless this is 0."),
                ]))
    }
}

extension ValueType<SlowStartConfig> {
    static var slowStart: ValueType {
        .mapping(
            MappingSchema(
                name: "slow start",
                summary: "Lets an endpoint that is new or healthy again come to its full share of the requests by and"
                    + " by. For `round_robin`, `least_request` and `random`.",
                initial: SlowStartConfig(),
                fields: [
                    Field(
                        "window", \.window, .duration(.milliseconds(1) ... .seconds(86400)),
                        "How long until the full share; until then it grows evenly."),
                    Field(
                        "min_weight_percent", \.minWeightPercent, .integer(1...100),
                        "What the share begins with, of the full one."),
                ]))
    }
}
