import COpenSSL
import MoongateLua

/// What is known of one instance of a policy while it is loaded: what it is made of, how often its hooks ran, how they
/// failed. Begins afresh when a reload loads the policy anew; the counters in `/metrics` go on.
///
/// Written by all workers: each counts in a row of its own, and errors are rare enough for a lock.
final class PolicyStats: Sendable {
    struct Failure: Sendable {
        /// Milliseconds since 1970.
        var at: Int64
        var message: String
        var hook: PolicyHook?
        var reason = ""
        var traceback = ""
    }

    private struct State: Sendable {
        var block: CounterBlock?
        var generation: UInt64 = 0
        var loadedAt: Int64 = 0
        var lastError: Failure?
        var reloadFailures: UInt64 = 0
        var lastReloadFailure: Failure?
    }

    /// SHA-256 of the source, in hex.
    let hash: String
    private let state = Locked(State())

    /// - Parameter source: of the policy's file.
    init(source: [UInt8]) {
        var digest = [UInt8](repeating: 0, count: 32)
        let isDone = EVP_Digest(source, source.count, &digest, nil, EVP_sha256(), nil) == 1
        let digits = Array("0123456789abcdef")
        hash = isDone ? String(digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }) : ""
    }

    /// The cells of one worker. Kept by the stats.
    func statsRow(worker: Int, of workers: Int) -> PolicyStatsRow {
        state.withLock { state in
            let block = state.block ?? CounterBlock(rows: workers, columns: PolicyStatsRow.Column.count)
            state.block = block
            return PolicyStatsRow(row: block.row(worker))
        }
    }

    /// The first generation that has the instance goes into force.
    func loaded(in generation: UInt64) {
        state.withLock { state in
            guard state.generation == 0 else { return }
            state.generation = generation
            state.loadedAt = Clock.unixMilliseconds()
        }
    }

    func failed(_ error: LuaError, _ hook: PolicyHook) {
        let failure = Failure(
            at: Clock.unixMilliseconds(), message: error.message, hook: hook,
            reason: PolicyErrorReason(error.reason).label, traceback: error.traceback)
        state.withLock { $0.lastError = failure }
    }

    /// A reload was refused because of this policy.
    func reloadFailed(_ message: String) {
        let failure = Failure(at: Clock.unixMilliseconds(), message: message)
        state.withLock { state in
            state.reloadFailures += 1
            state.lastReloadFailure = failure
        }
    }

    // MARK: Reading

    struct HookFigures {
        var hook: PolicyHook
        var runs: UInt64
        var replies: UInt64
        var errors: [(reason: PolicyErrorReason, count: UInt64)]
        var times: HookTimeSummary
    }

    struct Summary {
        var hash: String
        var generation: UInt64
        var loadedAt: Int64
        /// Hooks that have run.
        var hooks: [HookFigures]
        /// The most memory that a worker's engine was seen to hold after a hook of the policy.
        var peakMemory: UInt64
        var lastError: Failure?
        var reloadFailures: UInt64
        var lastReloadFailure: Failure?
    }

    var summary: Summary {
        let state = state.withLock { $0 }
        var hooks: [HookFigures] = []
        var peak: UInt64 = 0
        if let block = state.block {
            hooks = PolicyHook.allCases.map { PolicyStats.figures(block, $0) }.filter { $0.runs > 0 }
            peak = (0..<block.rows).map { block.row($0)[PolicyStatsRow.Column.memory].value }.max() ?? 0
        }
        return Summary(
            hash: hash, generation: state.generation, loadedAt: state.loadedAt, hooks: hooks, peakMemory: peak,
            lastError: state.lastError, reloadFailures: state.reloadFailures,
            lastReloadFailure: state.lastReloadFailure)
    }

    private static func figures(_ block: CounterBlock, _ hook: PolicyHook) -> HookFigures {
        typealias Column = PolicyStatsRow.Column
        let first = Column.hook(hook)
        let errors = PolicyErrorReason.allCases.map { reason in
            (reason: reason, count: block.total(first + Column.errors + reason.rawValue))
        }
        return HookFigures(
            hook: hook, runs: block.total(first + Column.runs), replies: block.total(first + Column.replies),
            errors: errors.filter { $0.count > 0 }, times: HookTimeSummary(block, first: first + Column.times))
    }
}

/// What one worker counts for one instance. A trivial view, see `RouteCells`.
struct PolicyStatsRow {
    enum Column {
        /// Before the hooks' columns.
        static let memory = 0
        static let runs = 0
        static let replies = 1
        static let errors = 2
        static let times = errors + PolicyErrorReason.allCases.count
        static let perHook = times + HookTimes.columns
        static let count = 1 + PolicyHook.allCases.count * perHook

        @inline(__always) static func hook(_ hook: PolicyHook) -> Int { 1 + hook.rawValue * perHook }
    }

    let row: CounterRow

    /// One run in so many is timed: reading the clock twice costs some 50 ns.
    private static let sampling: UInt64 = 16

    /// Counts a run that begins. Gives the time if the run is to be timed, else 0.
    @inline(__always) func begin(_ hook: PolicyHook) -> Instant {
        let runs = row[Column.hook(hook) + Column.runs]
        runs.add()
        return runs.value & (PolicyStatsRow.sampling - 1) == 1 ? Clock.now() : 0
    }

    /// A timed run has come to its end or waits.
    func end(_ hook: PolicyHook, began: Instant, memory: Int, _ cells: PolicyCells) {
        let time = Clock.now() &- began
        HookTimes(row: row.advanced(by: Column.hook(hook) + Column.times)).record(nanoseconds: time)
        cells.countTime(hook, nanoseconds: time)
        let held = UInt64(clamping: memory)
        if held > row[Column.memory].value { row[Column.memory].set(held) }
        if held > cells.peakMemory.value { cells.peakMemory.set(held) }
    }

    func countReply(_ hook: PolicyHook) { row[Column.hook(hook) + Column.replies].add() }

    func countError(_ hook: PolicyHook, _ reason: PolicyErrorReason) {
        row[Column.hook(hook) + Column.errors + reason.rawValue].add()
    }
}
