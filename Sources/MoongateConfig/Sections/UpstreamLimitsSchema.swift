extension ValueType<UpstreamLimitsConfig> {
    static var upstreamLimits: ValueType {
        let many = ValueType<Int>.integer(1...1_000_000_000)
        return .mapping(
            MappingSchema(
                name: "limits",
                summary: "What an upstream may have under way at a time, for the whole process (circuit breaking). A"
                    + " request beyond is answered with `UNAVAILABLE` at once, and a counter tells of it.",
                initial: UpstreamLimitsConfig(),
                alternatives: [.atMostOne(["max_retries"], ["retry_budget"])],
                fields: [
                    Field(
                        "max_connections", \.maxConnections, many, absent: "no limit",
                        "Connections to its endpoints, open or being opened. Each worker needs one for every endpoint"
                            + " it uses."),
                    Field(
                        "max_pending_requests", \.maxPendingRequests, many, absent: "no limit",
                        "Requests that wait for a connection or for room on one."),
                    Field(
                        "max_requests", \.maxRequests, many, absent: "no limit",
                        "Requests on its connections, streams included."),
                    Field(
                        "max_retries", \.maxRetries, .integer(0...1_000_000_000), absent: "no limit",
                        "Attempts beyond the first of their request."),
                    Field(
                        "retry_budget", \.retryBudget, .retryBudget, absent: "none",
                        "Retries as a share of the active requests, in place of `max_retries`."),
                ]))
    }
}

extension ValueType<UpstreamLimitsConfig.RetryBudget> {
    fileprivate static var retryBudget: ValueType {
        .mapping(
            MappingSchema(
                name: "retry budget",
                summary: "Retries that an upstream may have at a time, measured by its active requests, those that wait"
                    + " for a connection included.",
                initial: UpstreamLimitsConfig.RetryBudget(),
                fields: [
                    Field("percent", \.percent, .integer(0...100), "Their share of the active requests."),
                    Field(
                        "min_concurrency", \.minConcurrency, .integer(0...1_000_000),
                        "So many are allowed however few requests there are."),
                ]))
    }
}
