/// What an upstream may have under way at a time, for the whole process. `nil`: any number.
public struct UpstreamLimitsConfig: Sendable, Equatable {
    /// Retries as a share of the active requests.
    public struct RetryBudget: Sendable, Equatable {
        /// 0 to 100.
        public var percent: Int
        /// Retries that are allowed however few requests there are.
        public var minConcurrency: Int
        public init(percent: Int = 20, minConcurrency: Int = 3) {
            self.percent = percent
            self.minConcurrency = minConcurrency
        }
    }
    public var maxConnections: Int?
    /// Requests that wait for a connection.
    public var maxPendingRequests: Int?
    /// Requests on connections.
    public var maxRequests: Int?
    /// Not together with `retryBudget`.
    public var maxRetries: Int?
    public var retryBudget: RetryBudget?

    public init(
        maxConnections: Int? = nil, maxPendingRequests: Int? = nil, maxRequests: Int? = nil, maxRetries: Int? = nil,
        retryBudget: RetryBudget? = nil
    ) {
        self.maxConnections = maxConnections
        self.maxPendingRequests = maxPendingRequests
        self.maxRequests = maxRequests
        self.maxRetries = maxRetries
        self.retryBudget = retryBudget
    }
}
