import Synchronization

/// What all workers share of an endpoint: whether it may be used, and the counts that decide it.
final class SharedEndpoint: Sendable {
    /// Why the endpoint is not to be used; none of them: it is healthy.
    struct HealthFlags: OptionSet, Sendable {
        let rawValue: UInt32
        /// The last health checks say so.
        static let failedCheck = HealthFlags(rawValue: 1)
        /// Requests to it have failed in a row, and its time is not over.
        static let ejected = HealthFlags(rawValue: 2)
        /// No health check has ended yet.
        static let unchecked = HealthFlags(rawValue: 4)
    }

    /// What is known besides, for people; off the way of a request.
    struct Details: Sendable {
        /// Relative share of requests.
        var weight = 1
        /// 0 is used first.
        var priority = 0
        /// When the last check ended, in milliseconds since 1970; 0: none has.
        var checkedAt: Int64 = 0
        /// What the last check said against it; `nil`: nothing.
        var checkFailure: String?
        /// Why it was ejected last.
        var ejectionReason: String?
        /// When the ejection ends; 0: it is not ejected.
        var ejectedUntil: Instant = 0
        /// Why a worker could not connect last.
        var connectFailure: String?
        var ejections = EjectionHistory()
    }

    private enum Column {
        static let streams = 0
        static let failing = 1
        static let count = 2
    }

    let address: SocketAddress
    /// What the configuration calls it: a name or the address.
    let host: String
    /// `10.0.0.1:50051`
    let name: String
    private let healthFlagBits: Atomic<UInt32>
    private let healthySinceCell: Atomic<UInt64>
    private let errorCount = Atomic<UInt32>(0)
    private let localErrorCount = Atomic<UInt32>(0)
    private let block: CounterBlock
    private let details = Locked(Details())

    /// - Parameters:
    ///   - workers: whose counts are kept apart.
    ///   - healthFlags: to begin with.
    init(
        _ address: SocketAddress, host: String = "", workers: Int, healthFlags: HealthFlags = [],
        now: Instant = Clock.now()
    ) {
        self.address = address
        self.host = host
        name = address.description
        block = CounterBlock(rows: workers, columns: Column.count)
        healthFlagBits = Atomic(healthFlags.rawValue)
        healthySinceCell = Atomic(now)
    }

    // MARK: Health

    @inline(__always) var healthFlags: HealthFlags { HealthFlags(rawValue: healthFlagBits.load(ordering: .relaxed)) }

    /// When it was taken in, or became healthy last.
    var healthySince: Instant { healthySinceCell.load(ordering: .relaxed) }

    /// On the health monitor's thread, which then tells the workers by `SharedUpstream.healthChanged`.
    /// - Returns: whether that changed anything.
    func setAilments(_ new: HealthFlags, now: Instant) -> Bool {
        let old = HealthFlags(rawValue: healthFlagBits.exchange(new.rawValue, ordering: .relaxed))
        if !old.isEmpty && new.isEmpty { healthySinceCell.store(now, ordering: .relaxed) }
        return old != new
    }

    /// A copy.
    var currentDetails: Details { details.withLock { $0 } }

    func note(_ change: (inout Details) -> Void) { details.withLock { change(&$0) } }

    /// Why it is not used, for clients, so without its address; `nil`: it is.
    var unhealthyReason: String? {
        let healthFlags = healthFlags
        if healthFlags.contains(.failedCheck) {
            return "an endpoint fails its health check: \(currentDetails.checkFailure ?? "no answer")"
        }
        if healthFlags.contains(.ejected) {
            return "an endpoint is ejected: \(currentDetails.ejectionReason ?? "requests to it fail")"
        }
        return nil
    }

    // MARK: Outcomes of requests

    /// A response that is no error.
    @inline(__always) func noteSuccess() {
        if errorCount.load(ordering: .relaxed) != 0 { errorCount.store(0, ordering: .relaxed) }
        noteResponse()
    }

    /// A response that is an error.
    /// - Parameter limit: 0: none.
    /// - Returns: whether it was the `limit`-th in a row, upon which counting starts anew.
    func noteError(limit: Int) -> Bool {
        noteResponse()
        return SharedEndpoint.count(errorCount, limit)
    }

    /// No response; otherwise as `noteError`.
    func noteLocalError(limit: Int) -> Bool { SharedEndpoint.count(localErrorCount, limit) }

    @inline(__always) private func noteResponse() {
        if localErrorCount.load(ordering: .relaxed) != 0 { localErrorCount.store(0, ordering: .relaxed) }
    }

    private static func count(_ cell: borrowing Atomic<UInt32>, _ limit: Int) -> Bool {
        guard limit > 0 else { return false }
        guard Int(cell.wrappingAdd(1, ordering: .relaxed).newValue) == limit else { return false }
        cell.store(0, ordering: .relaxed)
        return true
    }

    /// What counted against it before counts no more.
    func forgetErrors() {
        errorCount.store(0, ordering: .relaxed)
        localErrorCount.store(0, ordering: .relaxed)
    }

    // MARK: Counts of workers

    /// Gauge: streams of one worker.
    func streams(worker: Int) -> Counter { block.row(worker)[Column.streams] }

    /// 1 while the worker's last attempt to connect has failed.
    func failing(worker: Int) -> Counter { block.row(worker)[Column.failing] }

    var activeStreams: Int { Int(truncatingIfNeeded: block.total(Column.streams)) }

    /// Workers whose last attempt to connect has failed.
    var failingWorkers: Int { Int(truncatingIfNeeded: block.total(Column.failing)) }
}
