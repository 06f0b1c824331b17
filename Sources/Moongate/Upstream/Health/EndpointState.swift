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
        let ailments = ailments
        if ailments.contains(.failedCheck) { return .unhealthy }
        if ailments.contains(.ejected) { return .ejected }
        if failingWorkers > 0 { return .unreachable }
        return ailments.contains(.unchecked) ? .unchecked : .healthy
    }
}
