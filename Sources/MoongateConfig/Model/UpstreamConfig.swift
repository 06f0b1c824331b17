/// A named group of endpoints that serve the same thing.
public struct UpstreamConfig: Sendable, Equatable {
    public enum Balance: String, Sendable, Equatable, CaseIterable {
        case roundRobin = "round_robin"
        case leastRequest = "least_request"
    }
    public struct Endpoint: Sendable, Equatable {
        public var address: SocketAddressConfig
        /// Relative share of requests, 1 to 1000.
        public var weight: Int
        public init(address: SocketAddressConfig, weight: Int = 1) {
            self.address = address
            self.weight = weight
        }
    }
    public var name: String
    /// At least one.
    public var endpoints: [Endpoint]
    public var balance: Balance
    public var connectTimeout: Duration
    /// How often host names are resolved again.
    public var dnsRefresh: Duration
    public var limits = UpstreamLimitsConfig()
    /// `nil`: cleartext.
    public var tls: UpstreamTLSConfig?

    public init(
        name: String, endpoints: [Endpoint], balance: Balance = .roundRobin,
        connectTimeout: Duration = .seconds(5), dnsRefresh: Duration = .seconds(30),
        tls: UpstreamTLSConfig? = nil
    ) {
        self.name = name
        self.endpoints = endpoints
        self.balance = balance
        self.connectTimeout = connectTimeout
        self.dnsRefresh = dnsRefresh
        self.tls = tls
    }
}
