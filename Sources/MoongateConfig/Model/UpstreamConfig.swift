/// A named group of endpoints that serve the same thing.
public struct UpstreamConfig: Sendable, Equatable {
    public enum Balance: String, Sendable, Equatable, CaseIterable {
        case roundRobin = "round_robin"
        case leastRequest = "least_request"
        case random
        case ringHash = "ring_hash"
        case maglev

        /// Whether requests with the same hash go to the same endpoint.
        public var isByHash: Bool { self == .ringHash || self == .maglev }
    }
    public struct Endpoint: Sendable, Equatable {
        public enum Lookup: Sendable, Equatable {
            case address
            /// The address is the name of a service (RFC 2782) without a port; it has weights of its own.
            case service
        }
        public var address: SocketAddressConfig
        public var lookup: Lookup
        /// Relative share of requests, 1 to 1000.
        public var weight: Int
        /// 0 to 127; endpoints of a higher number are for when those below fail.
        public var priority: Int
        public init(
            address: SocketAddressConfig, lookup: Lookup = .address, weight: Int = 1, priority: Int = 0
        ) {
            self.address = address
            self.lookup = lookup
            self.weight = weight
            self.priority = priority
        }
    }
    public var name: String
    /// At least one; none where a file has them, until it was read.
    public var endpoints: [Endpoint]
    /// Absolute path of a file that has the endpoints.
    public var endpointsFile: String?
    public var balance: Balance
    /// What is hashed for `ring_hash` and `maglev`: the first of them that a request has.
    public var hashOn: [HashSource]
    public var ringHash: RingHashConfig
    public var maglev: MaglevConfig
    public var connectTimeout: Duration
    /// After how long host names are resolved again at the latest; sooner where DNS says so.
    public var dnsRefresh: Duration
    /// `nil`: as `UpstreamConnectionConfig` begins.
    public var connection: UpstreamConnectionConfig?
    public var limits = UpstreamLimitsConfig()
    /// `nil`: cleartext.
    public var tls: UpstreamTLSConfig?
    /// `nil`: no checks.
    public var healthCheck: HealthCheckConfig?
    /// `nil`: nothing is ejected.
    public var outlierDetection: OutlierDetectionConfig?
    /// Percent of healthy endpoints below which all are used; 0: never.
    public var panicThreshold = 50
    /// `nil`: endpoints get their full share at once.
    public var slowStart: SlowStartConfig?

    public init(
        name: String, endpoints: [Endpoint], balance: Balance = .roundRobin, hashOn: [HashSource] = [],
        ringHash: RingHashConfig = .init(), maglev: MaglevConfig = .init(),
        connectTimeout: Duration = .seconds(5), dnsRefresh: Duration = .seconds(30),
        tls: UpstreamTLSConfig? = nil, connection: UpstreamConnectionConfig? = nil
    ) {
        self.name = name
        self.endpoints = endpoints
        self.balance = balance
        self.hashOn = hashOn
        self.ringHash = ringHash
        self.maglev = maglev
        self.connectTimeout = connectTimeout
        self.dnsRefresh = dnsRefresh
        self.tls = tls
        self.connection = connection
    }
}
