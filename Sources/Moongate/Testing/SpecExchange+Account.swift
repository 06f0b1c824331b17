/// What hooks of a spec can know of their exchange.
extension SpecExchange {
    var account: PolicyAccount {
        var account = PolicyAccount(startedAt: startedAt / 1000)
        account.duration = UInt64(clamping: (policy.clock.unixMicroseconds() - startedAt) * 1000)
        if requestBody.isHeadSent {
            account.upstream = upstream
            account.attempts = 1
        }
        account.httpStatus = response.value(.status).map(HTTPStatus.parse)
        account.grpcStatus = grpcStatus
        return account
    }

    /// The upstream that a policy has chosen; else the first one stands for the route's.
    private var upstream: String? {
        let chosen = run?.pointer.pointee.subject.upstream ?? -1
        return policy.upstreams.indices.contains(chosen) ? policy.upstreams[chosen] : policy.upstreams.first
    }

    /// How the call ended for the client; `nil`: it was none, or it was reset.
    private var grpcStatus: UInt8? {
        guard SpecExchange.isGRPC(request) else { return nil }
        // A client that leaves before the end has cancelled.
        guard state == .answered else { return GRPCStatus.cancelled.rawValue }
        let trailers = run?.pointer.pointee.subject.responseFlow.trailers
        guard let text = trailers?.value(.grpcStatus) ?? response.value(.grpcStatus) else { return nil }
        return (GRPCStatus(parsing: text) ?? .unknown).rawValue
    }
}
