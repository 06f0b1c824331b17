/// How many streams a client may reset: a burst, one more for every stream that finishes, and a slow refill, so
/// that clients which cancel a share of their calls, or all of their few, are never cut off.
struct ResetBudget {
    private static let burst = 1000
    private static let perSecond = 33

    private var left = ResetBudget.burst
    private var refilled: Instant

    init(now: Instant) { refilled = now }

    mutating func streamFinished() { if left < ResetBudget.burst { left += 1 } }

    /// False when the budget is spent.
    mutating func streamReset(now: Instant) -> Bool {
        let elapsed = now &- refilled
        let refill = elapsed / (1_000_000_000 / UInt64(ResetBudget.perSecond))
        if refill > 0 {
            left = min(ResetBudget.burst, left + Int(min(refill, UInt64(ResetBudget.burst))))
            refilled = now
        }
        left -= 1
        return left >= 0
    }
}
