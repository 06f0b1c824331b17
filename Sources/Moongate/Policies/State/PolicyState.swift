/// What the policies of all workers share, and what outlives them: one for the process.
final class PolicyState: Sendable {
    let clock = StateClock()
    let dicts: SharedDicts
    let limits: LimitTables
    let keySets = FetchedKeySets()
    let overruns = OverrunTracker()

    init() {
        dicts = SharedDicts(clock: clock)
        limits = LimitTables(clock: clock)
    }
}
