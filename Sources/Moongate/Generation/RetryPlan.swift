import MoongateConfig

/// A route's `retry` or `hedge`, compiled. Trivial: it lies in the route.
struct RetryPlan: BitwiseCopyable {
    /// How an attempt has ended, as a set of bits: one for each gRPC status, and one for each other condition.
    struct Endings: OptionSet, BitwiseCopyable {
        let rawValue: UInt32

        static let connectFailure = Endings(rawValue: 1 << 17)
        static let reset = Endings(rawValue: 1 << 18)
        static let refusedStream = Endings(rawValue: 1 << 19)
        static let gatewayError = Endings(rawValue: 1 << 20)
        static let serverError = Endings(rawValue: 1 << 21)
        /// The limit of the attempt; never asked for, always covered.
        static let timedOut = Endings(rawValue: 1 << 22)

        static func status(_ status: GRPCStatus) -> Endings { Endings(rawValue: 1 << UInt32(status.rawValue)) }

        /// What a response without `grpc-status` counts as.
        static func http(_ status: Int) -> Endings {
            guard status >= 500, status < 600 else { return [] }
            return (502...504).contains(status) ? [.gatewayError, .serverError] : .serverError
        }
    }

    /// All attempts, the first one included; 1: none follows it.
    var maxAttempts: UInt8 = 1
    /// Further attempts are made beside the first one, not after it.
    var isHedged = false
    var covered: Endings = []
    /// Nanoseconds from one attempt's start to its first response bytes, 0: no limit. Hedged: to the next attempt.
    var attemptTime: UInt64 = 0
    /// Nanoseconds.
    var firstPause: UInt64 = 0
    var longestPause: UInt64 = 0
    /// Request bytes that are kept until the response begins.
    var buffer = RetryPlan.smallestBuffer

    /// What every route keeps, for streams that the upstream refused.
    static let smallestBuffer = 64 * 1024

    var isEnabled: Bool { maxAttempts > 1 }

    init() {}

    init(_ config: RetryConfig) {
        maxAttempts = UInt8(clamping: config.maxAttempts)
        covered = Endings(config.on).union(.timedOut)
        attemptTime = config.perTryTimeout.nanoseconds
        firstPause = config.backoff.initial.nanoseconds
        longestPause = config.backoff.maximum.nanoseconds
        buffer = config.buffer
    }

    init(_ config: HedgeConfig) {
        maxAttempts = UInt8(clamping: config.maxAttempts)
        isHedged = true
        covered = Endings(config.nonFatal)
        attemptTime = config.delay.nanoseconds
        buffer = config.buffer
    }

    /// The pause before attempt `number` + 1, in nanoseconds (gRFC A6: doubled each time, spread by ±20 %).
    func pause(after number: UInt8, random: UInt64) -> UInt64 {
        let doublings = UInt64(min(max(1, number), 32) - 1)
        let whole = min(firstPause << doublings, max(longestPause, firstPause))
        return whole / 10 * 8 + random % max(1, whole / 10 * 4)
    }
}

extension RetryPlan.Endings {
    init(_ conditions: [RetryConfig.Condition]) {
        self = conditions.reduce(into: []) { $0.formUnion(RetryPlan.Endings($1)) }
    }

    private init(_ condition: RetryConfig.Condition) {
        switch condition {
        case .status(let status): self.init(rawValue: 1 << UInt32(status.code))
        case .connectFailure: self = .connectFailure
        case .reset: self = .reset
        case .refusedStream: self = .refusedStream
        case .gatewayError: self = .gatewayError
        case .serverError: self = .serverError
        }
    }
}
