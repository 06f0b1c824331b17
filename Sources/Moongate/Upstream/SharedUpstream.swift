import MoongateConfig
import Synchronization

/// What all workers share of an upstream: its limits, which hold for the process.
///
/// Lives as long as some worker has an upstream of the name, over reloads.
final class SharedUpstream: Sendable {
    let name: String
    /// The upstream's counters; keeps them.
    let metrics: MetricsRegistry.Entry

    /// Connections to endpoints, open or being opened.
    let connections = SharedLimit()
    /// Requests that wait for a connection, for room on one, or for the first DNS answer.
    let pending = SharedLimit()
    /// Requests on connections; counted only where `limits` has `max_requests`.
    let requests = SharedLimit()
    /// Attempts beyond a request's first one.
    private let retries = SharedLimit()
    /// Percent of the active requests, and the least number; see `RetryBudget`.
    private let budget = Atomic<UInt64>(RetryBudget.none)

    init(name: String, metrics: MetricsRegistry.Entry) {
        self.name = name
        self.metrics = metrics
    }

    /// Takes up a configuration. Called by every worker that does, with the same one.
    func use(_ config: UpstreamConfig) {
        connections.setBound(config.limits.maxConnections ?? .max)
        pending.setBound(config.limits.maxPendingRequests ?? .max)
        requests.setBound(config.limits.maxRequests ?? .max)
        retries.setBound(config.limits.maxRetries ?? .max)
        budget.store(RetryBudget.packed(config.limits.retryBudget), ordering: .relaxed)
    }

    // MARK: Retries

    /// Whether another attempt may be made now. Every `true` is followed by one `endRetry`, when the attempt has ended.
    func tryBeginRetry() -> Bool {
        guard let budget = RetryBudget(packed: budget.load(ordering: .relaxed)) else { return retries.tryBegin() }
        return retries.tryBegin(atMost: budget.retries(ofActive: activeRequests))
    }

    func endRetry() { retries.end() }

    var activeRetries: Int { retries.value }

    /// Requests on connections and those that wait for one; what other workers do this very moment may be missing.
    var activeRequests: Int {
        let open = Int64(bitPattern: metrics.block.total(UpstreamCells.Column.openStreams))
        return max(0, Int(clamping: open)) + pending.value
    }

    // MARK: Overflow

    /// `upstream greeter: max_requests (100) reached`
    func overflow(_ limit: UpstreamLimit) -> String {
        if limit == .retries, let budget = RetryBudget(packed: budget.load(ordering: .relaxed)) {
            return "upstream \(name): retry_budget (\(budget.percent) %, at least \(budget.minimum)) used up"
        }
        return "upstream \(name): \(limit.setting) (\(bound(of: limit))) reached"
    }

    private func bound(of limit: UpstreamLimit) -> Int {
        switch limit {
        case .connections: connections.bound
        case .pending: pending.bound
        case .requests: requests.bound
        case .retries: retries.bound
        }
    }
}

/// What `limits` of an upstream bounds.
enum UpstreamLimit: Int, CaseIterable {
    case connections, pending, requests, retries

    /// The key in the configuration.
    var setting: String {
        switch self {
        case .connections: "max_connections"
        case .pending: "max_pending_requests"
        case .requests: "max_requests"
        case .retries: "max_retries"
        }
    }
}

/// The retries that an upstream may have at a time: a share of its active requests, and a few in any case.
struct RetryBudget: Equatable {
    /// No budget, in packed form.
    static let none = UInt64.max

    /// 0 to 100.
    let percent: Int
    let minimum: Int

    /// - Parameter packed: what `packed` made; `nil` for no budget.
    init?(packed: UInt64) {
        guard packed != RetryBudget.none else { return nil }
        percent = Int(packed >> 32)
        minimum = Int(packed & 0xffff_ffff)
    }

    /// In one word, so that readers never see half of a change.
    static func packed(_ config: UpstreamLimitsConfig.RetryBudget?) -> UInt64 {
        guard let config else { return none }
        return UInt64(UInt32(clamping: config.percent)) << 32 | UInt64(UInt32(clamping: config.minConcurrency))
    }

    func retries(ofActive requests: Int) -> Int {
        max(minimum, requests / 100 * percent + requests % 100 * percent / 100)
    }
}
