import MoongateLua

/// Decides which runs a script engine begins as its memory gets short, and when it has to be replaced.
///
/// An engine that holds more than three quarters of its limit after a full collection begins no new runs; those that wait go on. One
/// whose waiting runs of one client hold more than an eighth begins none for that client. One that holds more than seven eighths, or
/// more than three quarters without any run that could give something back, is replaced.
final class PolicyMemory {
    /// Bytes that waiting runs have asked for, by their clients; upper bounds of what they hold.
    private var waiting: [ClientShare: Int] = [:]
    private var taken = 0
    /// The number of waiting runs.
    private var runs = 0
    /// Bytes that the engine held once it was loaded.
    private var loaded = 0
    private var limit = 0
    /// Above this, beginning a run is a question.
    private(set) var threshold = 0
    /// No collection before this moment: collections take a tenth of the time at most.
    private var nextCollection: Instant = 0

    func begin(_ vm: LuaVM) {
        let memory = vm.memory
        loaded = memory.held
        limit = memory.limit
        threshold = min(limit / 4 * 3, loaded + limit / 8)
    }

    // MARK: Waiting runs

    func waits(_ bytes: Int, of client: ClientShare?) {
        runs += 1
        guard bytes > 0, let client else { return }
        waiting[client, default: 0] += bytes
        taken += bytes
    }

    func waitEnded(_ bytes: Int, of client: ClientShare?) {
        runs -= 1
        guard bytes > 0, let client, let mine = waiting[client] else { return }
        waiting[client] = mine > bytes ? mine - bytes : nil
        taken -= bytes
    }

    // MARK: Decisions

    enum Decision {
        case begins
        /// Not before others have given something back.
        case refused
        /// Nothing is left that could give something back.
        case spent
    }

    /// Whether a run of a client may begin. Only to be asked above `threshold`.
    func decide(_ vm: LuaVM, client: ClientShare?, now: Instant) -> Decision {
        var decision = decide(held: vm.memoryInUse, client)
        if decision != .begins, now >= nextCollection {
            collect(vm, now)
            decision = decide(held: vm.memoryInUse, client)
        }
        return decision
    }

    private func decide(held: Int, _ client: ClientShare?) -> Decision {
        if isSpent(held) { return .spent }
        if held > limit / 4 * 3 { return .refused }
        guard taken > 0, let client, let mine = waiting[client] else { return .begins }
        // Of what the waiting runs hold, each has the part that it has asked for.
        let share = Double(max(0, held - loaded)) * Double(mine) / Double(taken)
        return share > Double(limit / 8) ? .refused : .begins
    }

    /// After a run that failed for want of memory: whether the engine has to be replaced.
    func isSpent(_ vm: LuaVM, now: Instant) -> Bool {
        if now >= nextCollection { collect(vm, now) }
        return isSpent(vm.memoryInUse)
    }

    private func isSpent(_ held: Int) -> Bool { held > limit / 8 * 7 || (held > limit / 4 * 3 && runs == 0) }

    private func collect(_ vm: LuaVM, _ now: Instant) {
        vm.collectGarbage()
        nextCollection = now &+ (Clock.now() &- now) * 10
    }
}
