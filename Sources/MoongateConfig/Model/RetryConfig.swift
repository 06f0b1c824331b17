/// When and how often a request is sent again (gRFC A6).
public struct RetryConfig: Sendable, Equatable {
    /// How an attempt has to end for another one to follow.
    ///
    /// The statuses of gRPC count wherever they come from: the upstream's head or trailers, or the proxy where it
    /// would answer with them itself.
    public enum Condition: Sendable, Hashable {
        case status(GRPCStatusName)
        /// No connection to any endpoint that was tried.
        case connectFailure
        /// The stream or its connection ended before a response began.
        case reset
        /// The upstream did not look at the request, more than once.
        case refusedStream
        /// HTTP 502, 503 or 504.
        case gatewayError
        /// Any HTTP status from 500.
        case serverError
    }

    public var on: [Condition]
    /// The first one included, 2 to 10.
    public var maxAttempts: Int
    /// From the start of an attempt to the first bytes of its response; `.zero`: no limit.
    public var perTryTimeout: Duration
    public var backoff: Backoff
    /// The most request bytes that are kept for another attempt.
    public var buffer: Int

    /// The pause before attempt n + 1: `initial` doubled n - 1 times, at most `maximum`, spread by ±20 %.
    public struct Backoff: Sendable, Equatable {
        public var initial: Duration
        public var maximum: Duration
        public init(initial: Duration = .milliseconds(25), maximum: Duration = .milliseconds(250)) {
            self.initial = initial
            self.maximum = maximum
        }
    }

    public init(
        on: [Condition], maxAttempts: Int = 3, perTryTimeout: Duration = .zero, backoff: Backoff = .init(),
        buffer: Int = 65536
    ) {
        self.on = on
        self.maxAttempts = maxAttempts
        self.perTryTimeout = perTryTimeout
        self.backoff = backoff
        self.buffer = buffer
    }
}

/// Several attempts at a time at calls that are safe to repeat (gRFC A6, hedging).
public struct HedgeConfig: Sendable, Equatable {
    /// `service/method`, where a star stands for anything but a slash; at least one.
    public var methods: [String]
    /// The first one included, 2 to 5.
    public var maxAttempts: Int
    /// From one attempt to the next.
    public var delay: Duration
    /// Statuses with which an attempt ends without ending the others.
    public var nonFatal: [RetryConfig.Condition]
    /// The most request bytes that are kept for another attempt.
    public var buffer: Int

    public init(
        methods: [String], maxAttempts: Int = 2, delay: Duration = .milliseconds(100),
        nonFatal: [RetryConfig.Condition] = [.status(.unavailable)], buffer: Int = 65536
    ) {
        self.methods = methods
        self.maxAttempts = maxAttempts
        self.delay = delay
        self.nonFatal = nonFatal
        self.buffer = buffer
    }
}

/// What counts in place of, or against, the client's `grpc-timeout`.
public struct GRPCTimeoutConfig: Sendable, Equatable {
    /// For calls without `grpc-timeout`; `.zero`: none.
    public var absent: Duration
    /// The longest `grpc-timeout` that counts; `.zero`: any.
    public var maximum: Duration
    public init(absent: Duration = .zero, maximum: Duration = .zero) {
        self.absent = absent
        self.maximum = maximum
    }
}

/// Conditions by the words of the configuration.
extension RetryConfig.Condition: RawRepresentable, CaseIterable {
    public static let allCases =
        GRPCStatusName.allCases.map(Self.status)
        + [.connectFailure, .reset, .refusedStream, .gatewayError, .serverError]

    public init?(rawValue: String) {
        guard let condition = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
        self = condition
    }

    public var rawValue: String {
        switch self {
        case .status(let status): status.rawValue
        case .connectFailure: "connect_failure"
        case .reset: "reset"
        case .refusedStream: "refused_stream"
        case .gatewayError: "gateway_error"
        case .serverError: "5xx"
        }
    }
}
