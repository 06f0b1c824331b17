import MoongateConfig
import Synchronization

/// What all workers share of an upstream: its limits, which hold for the process, and its endpoints with their health.
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

    private let isToldOfMembers = Atomic<Bool>(false)
    /// Counts what has changed in the health of endpoints.
    private let version = Atomic<UInt32>(0)
    private let passedChecks = Atomic<UInt64>(0)
    private let failedChecks = Atomic<UInt64>(0)
    private let enforcedEjections = Atomic<UInt64>(0)
    private let refusedEjections = Atomic<UInt64>(0)
    private let state: Locked<State>
    private let bell: HealthWaker

    private struct State {
        var config: UpstreamConfig
        var tls: TLSClientContext?
        var members: [SocketAddress: Member] = [:]
        /// When those that are forgotten were looked for.
        var sweptAt: Instant = 0

        /// Forgets who has been gone for long. Now and then: many may leave at once.
        mutating func sweep(now: Instant) {
            guard now &- sweptAt >= SharedUpstream.memory / 10 else { return }
            sweptAt = now
            members = members.filter { $0.value.users > 0 || now &- $0.value.leftAt < SharedUpstream.memory }
        }
    }

    private struct Member {
        let endpoint: SharedEndpoint
        /// Workers that have it.
        var users: Int
        /// When the last of them let it go.
        var leftAt: Instant = 0
    }

    /// How long an endpoint that nobody has is remembered: reloads and answers of DNS let some go and take them back.
    private static let memory: UInt64 = 10_000_000_000

    init(name: String, metrics: MetricsRegistry.Entry, bell: HealthWaker) {
        self.name = name
        self.metrics = metrics
        self.bell = bell
        state = Locked(State(config: UpstreamConfig(name: name, endpoints: [])))
    }

    /// One that nobody else has or counts.
    convenience init(name: String) {
        let block = CounterBlock(rows: 1, columns: UpstreamCells.Column.count)
        self.init(name: name, metrics: MetricsRegistry.Entry(name: name, block: block), bell: HealthWaker())
    }

    /// As it is in force.
    var config: UpstreamConfig { state.withLock { $0.config } }

    /// TLS with its endpoints; `nil`: cleartext.
    var tls: TLSClientContext? { state.withLock { $0.tls } }

    /// Takes up a configuration. Called by every worker that does, with the same one.
    func use(_ config: UpstreamConfig, tls: TLSClientContext?) {
        let hasChanged = state.withLock { state in
            let hasChanged = state.config != config || state.tls !== tls
            state.config = config
            state.tls = tls
            return hasChanged
        }
        if hasChanged { tellMembers() }
        connections.setBound(config.limits.maxConnections ?? .max)
        pending.setBound(config.limits.maxPendingRequests ?? .max)
        requests.setBound(config.limits.maxRequests ?? .max)
        retries.setBound(config.limits.maxRetries ?? .max)
        budget.store(RetryBudget.packed(config.limits.retryBudget), ordering: .relaxed)
    }

    // MARK: Endpoints

    /// A worker takes an endpoint in; `leave` follows.
    /// - Parameter host: what the configuration calls it, for TLS.
    func join(_ address: SocketAddress, host: String) -> SharedEndpoint {
        let workers = metrics.block.rows
        let (endpoint, isFirst) = state.withLock { state in
            if var member = state.members[address], member.endpoint.host == host {
                member.users += 1
                state.members[address] = member
                return (member.endpoint, member.users == 1)
            }
            let endpoint = SharedEndpoint(
                address, host: host, workers: workers, healthFlags: state.config.healthCheck == nil ? [] : .unchecked)
            state.members[address] = Member(endpoint: endpoint, users: 1)
            return (endpoint, true)
        }
        if isFirst { tellMembers() }
        return endpoint
    }

    func leave(_ endpoint: SharedEndpoint) {
        let isLast = state.withLock { state in
            let now = Clock.now()
            state.sweep(now: now)
            guard var member = state.members[endpoint.address], member.endpoint === endpoint else { return false }
            member.users -= 1
            if member.users == 0 { member.leftAt = now }
            state.members[endpoint.address] = member
            return member.users == 0
        }
        if isLast { tellMembers() }
    }

    /// Tells the health monitor, unless it has still to look: many may come and go at once.
    private func tellMembers() {
        if !isToldOfMembers.exchange(true, ordering: .acquiringAndReleasing) { bell.ring(.members(self)) }
    }

    /// The health monitor looks at the members next.
    func membersAreLookedAt() { isToldOfMembers.store(false, ordering: .sequentiallyConsistent) }

    /// The endpoints that some worker has, by address.
    var members: [SharedEndpoint] {
        state.withLock { state in
            state.members.values.filter { $0.users > 0 }.map(\.endpoint).sorted { $0.name < $1.name }
        }
    }

    /// Other than before: the health of some endpoint has changed. Whoever has seen the new value sees the change.
    @inline(__always) var healthVersion: UInt32 { version.load(ordering: .acquiring) }

    /// After the change.
    func healthChanged() { version.wrappingAdd(1, ordering: .releasing) }

    /// Requests to an endpoint fail: the health monitor decides what follows.
    func suspect(_ endpoint: SharedEndpoint, _ suspicion: SuspicionReason) {
        bell.ring(.suspicion(self, endpoint, suspicion))
    }

    func noteCheck(passed: Bool) {
        if passed {
            passedChecks.wrappingAdd(1, ordering: .relaxed)
        } else {
            failedChecks.wrappingAdd(1, ordering: .relaxed)
        }
    }

    /// - Parameter isEnforced: false: too many are ejected already.
    func noteEjection(isEnforced: Bool) {
        if isEnforced {
            enforcedEjections.wrappingAdd(1, ordering: .relaxed)
        } else {
            refusedEjections.wrappingAdd(1, ordering: .relaxed)
        }
    }

    var checks: (passed: UInt64, failed: UInt64) {
        (passedChecks.load(ordering: .relaxed), failedChecks.load(ordering: .relaxed))
    }

    var ejections: (enforced: UInt64, refused: UInt64) {
        (enforcedEjections.load(ordering: .relaxed), refusedEjections.load(ordering: .relaxed))
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
