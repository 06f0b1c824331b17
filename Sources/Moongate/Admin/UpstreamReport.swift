import MoongateConfig

/// The upstreams in use with their endpoints, as all workers know them.
struct UpstreamReport {
    private let upstreams: [SharedUpstream]
    private let now = Clock.now()
    private let unixNow = Clock.unixMilliseconds()

    init(_ upstreams: SharedUpstreams) { self.upstreams = upstreams.living() }

    // MARK: JSON

    var json: JSONValue { .object([("upstreams", .array(upstreams.map(json)))]) }

    private func json(_ upstream: SharedUpstream) -> JSONValue {
        let members = upstream.members
        return .object([
            ("name", .string(upstream.name)),
            ("panic", .bool(isPanicking(upstream, members))),
            ("connections", .integer(upstream.connections.value)),
            ("active_requests", .integer(upstream.activeRequests)),
            ("pending_requests", .integer(upstream.pending.value)),
            ("active_retries", .integer(upstream.activeRetries)),
            ("endpoints", .array(members.map(json))),
        ])
    }

    private func json(_ endpoint: SharedEndpoint) -> JSONValue {
        let details = endpoint.currentDetails
        var fields: [(key: String, value: JSONValue)] = [
            ("address", .string(endpoint.name)),
            ("state", .string(endpoint.state.rawValue)),
        ]
        if let reason = reason(endpoint, details) { fields.append(("reason", .string(reason))) }
        fields += [
            ("weight", .integer(details.weight)),
            ("priority", .integer(details.priority)),
            ("active_requests", .integer(endpoint.activeStreams)),
            ("ejections", .integer(details.ejections.times)),
        ]
        if let end = ejectionEnd(details) { fields.append(("ejected_until", .string(EdgeReport.time(end)))) }
        if details.checkedAt > 0 { fields.append(("checked_at", .string(EdgeReport.time(details.checkedAt)))) }
        return .object(fields)
    }

    /// In milliseconds since 1970.
    private func ejectionEnd(_ details: SharedEndpoint.Details) -> Int64? {
        guard details.ejectedUntil > now else { return nil }
        return unixNow + Int64(clamping: (details.ejectedUntil - now) / 1_000_000)
    }

    private func reason(_ endpoint: SharedEndpoint, _ details: SharedEndpoint.Details) -> String? {
        switch endpoint.state {
        case .healthy: details.checkFailure.map { "the last check failed: \($0)" }
        case .unhealthy: details.checkFailure
        case .ejected: details.ejectionReason
        case .unchecked: "no check has ended yet"
        case .unreachable: details.connectFailure
        }
    }

    private func isPanicking(_ upstream: SharedUpstream, _ members: [SharedEndpoint]) -> Bool {
        HealthPlan(
            members.map(\.healthFlags), priorities: members.map(\.currentDetails.priority),
            panicThreshold: upstream.config.panicThreshold
        ).isPanicking
    }

    // MARK: Text

    var table: String {
        let rows = upstreams.flatMap { upstream in
            upstream.members.map { endpoint in
                let details = endpoint.currentDetails
                return [
                    upstream.name, endpoint.name, endpoint.state.rawValue, "\(details.weight)",
                    "\(endpoint.activeStreams)", reason(endpoint, details) ?? "",
                ]
            }
        }
        return EdgeReport.table([["UPSTREAM", "ENDPOINT", "STATE", "WEIGHT", "ACTIVE", "REASON"]] + rows)
    }
}
