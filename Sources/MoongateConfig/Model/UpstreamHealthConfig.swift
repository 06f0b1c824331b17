/// How the endpoints of an upstream are checked.
public struct HealthCheckConfig: Sendable, Equatable {
    public enum Probe: Sendable, Equatable {
        case grpc(GRPC)
        case http(HTTP)
        /// A connection that comes about is enough.
        case tcp
    }
    /// `grpc.health.v1.Health/Check`.
    public struct GRPC: Sendable, Equatable {
        /// What is asked for; empty: the server as a whole.
        public var service: String
        /// `nil`: the endpoint's address.
        public var authority: String?
        public init(service: String = "", authority: String? = nil) {
            self.service = service
            self.authority = authority
        }
    }
    /// `GET` over HTTP/2.
    public struct HTTP: Sendable, Equatable {
        public var path: String
        /// `nil`: the endpoint's address.
        public var host: String?
        /// Any other status is a failure.
        public var expectedStatuses: [Int]
        public init(path: String = "", host: String? = nil, expectedStatuses: [Int] = [200]) {
            self.path = path
            self.host = host
            self.expectedStatuses = expectedStatuses
        }
    }
    public var probe: Probe
    /// From the end of one check to the start of the next.
    public var interval: Duration
    /// Percent of `interval` by which it varies at random, 0 to 50.
    public var jitterPercent: Int
    /// In place of `interval` while the upstream gets no requests; `nil`: `interval`.
    public var noTrafficInterval: Duration?
    public var timeout: Duration
    /// Checks in a row that have to pass for an unhealthy endpoint to be used again.
    public var healthyThreshold: Int
    /// Checks in a row that have to fail without an answer; an answer that says so counts at once.
    public var unhealthyThreshold: Int

    public init(
        probe: Probe = .tcp, interval: Duration = .seconds(10), jitterPercent: Int = 10,
        noTrafficInterval: Duration? = nil, timeout: Duration = .seconds(1), healthyThreshold: Int = 2,
        unhealthyThreshold: Int = 3
    ) {
        self.probe = probe
        self.interval = interval
        self.jitterPercent = jitterPercent
        self.noTrafficInterval = noTrafficInterval
        self.timeout = timeout
        self.healthyThreshold = healthyThreshold
        self.unhealthyThreshold = unhealthyThreshold
    }
}

/// When an endpoint is taken out because of how requests to it end.
public struct OutlierDetectionConfig: Sendable, Equatable {
    /// Responses in a row with a status of `errorStatuses`, or HTTP's 5xx; 0: never mind.
    public var consecutiveErrors: Int
    public var errorStatuses: [GRPCStatusName]
    /// Attempts in a row without a response: connections refused or lost, streams reset, time run out; 0: never mind.
    public var consecutiveLocalErrors: Int
    /// After this long without an ejection, one of the earlier ones is forgotten.
    public var interval: Duration
    /// The n-th ejection in a row lasts n times as long.
    public var baseEjectionTime: Duration
    public var maxEjectionTime: Duration
    /// Of the upstream's endpoints; one may be ejected in any case, unless this is 0.
    public var maxEjectionPercent: Int

    public init(
        consecutiveErrors: Int = 5, errorStatuses: [GRPCStatusName] = [.unknown, .internal, .unavailable, .dataLoss],
        consecutiveLocalErrors: Int = 5, interval: Duration = .seconds(10), baseEjectionTime: Duration = .seconds(30),
        maxEjectionTime: Duration = .seconds(300), maxEjectionPercent: Int = 10
    ) {
        self.consecutiveErrors = consecutiveErrors
        self.errorStatuses = errorStatuses
        self.consecutiveLocalErrors = consecutiveLocalErrors
        self.interval = interval
        self.baseEjectionTime = baseEjectionTime
        self.maxEjectionTime = maxEjectionTime
        self.maxEjectionPercent = maxEjectionPercent
    }
}

/// How an endpoint that has become healthy comes to its full share of the requests.
public struct SlowStartConfig: Sendable, Equatable {
    public var window: Duration
    /// What the share begins with, in percent of the full one.
    public var minWeightPercent: Int

    public init(window: Duration = .seconds(30), minWeightPercent: Int = 10) {
        self.window = window
        self.minWeightPercent = minWeightPercent
    }
}
