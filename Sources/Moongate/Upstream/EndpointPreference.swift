/// What a policy asks of the choice among an upstream's endpoints.
struct EndpointPreference {
    /// The endpoint to use. Port 0: any port of the address.
    var address: SocketAddress?
    /// That endpoint or none.
    var isStrict = false
    /// Requests with the same value go to the same endpoint, as long as it is usable.
    var hash: UInt64?

    /// Whether an endpoint at `other` is the one that `address` names.
    func names(_ other: SocketAddress) -> Bool {
        guard var address else { return false }
        if address.port == 0 { address.port = other.port }
        return address == other
    }
}

/// One endpoint as policies see it.
struct EndpointReport: Equatable {
    /// `10.0.0.1:50051`
    var name: String
    var weight: Int
    /// The last attempt to connect did not fail, nor does its health check, and it is not ejected.
    var isHealthy: Bool
    /// Streams of this worker.
    var active: Int
}
