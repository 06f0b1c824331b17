/// An endpoint in one word, for people and metrics: the worst of what is known.
enum EndpointState: String, CaseIterable {
    case healthy
    /// Its health check fails.
    case unhealthy
    case ejected
    /// No health check has ended yet.
    case unchecked
    /// Some worker could not connect.
    case unreachable
}

extension SharedEndpoint {
    var state: EndpointState {
        let healthFlags = healthFlags
        if healthFlags.contains(.failedCheck) { return .unhealthy }
        if healthFlags.contains(.ejected) { return .ejected }
        if failingWorkers > 0 { return .unreachable }
        return healthFlags.contains(.unchecked) ? .unchecked : .healthy
    }
}
