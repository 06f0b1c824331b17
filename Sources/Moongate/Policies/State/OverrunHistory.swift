/// Which clients have had which policies exceed their time limit of late, and until when they pay for it.
///
/// From the third time within ten seconds on, a client is barred from the policy, for 1 s, 2 s, 4 s, … at most a minute. One who
/// does it again within ten seconds after that is barred at once. After a good minute a client is forgiven.
struct OverrunHistory {
    /// Of a policy's file, as the tracker counts them.
    typealias Policy = Int32

    /// What follows from an overrun.
    struct Judgement: Equatable {
        /// How long the client is barred from now on, in nanoseconds; `nil`: it is not.
        var bar: UInt64?
        /// The bar begins.
        var isNew = false
        /// The policy exceeds its limit whoever calls it, and nobody was told so in the last minute.
        var isWidespread = false
    }

    private struct Offender: Hashable {
        let policy: Policy
        let client: ClientShare
    }

    fileprivate struct Entry {
        /// The last two before this one, as far as they count.
        var recent: [Instant] = []
        var last: Instant = 0
        var pause: UInt64 = 0
        var barredUntil: Instant = 0

        var forgivenAt: Instant { max(last, barredUntil) &+ OverrunHistory.minute }
    }

    static let second: UInt64 = 1_000_000_000
    static let minute = 60 * second
    static let window = 10 * second
    fileprivate static let longest = minute
    /// Entries; beyond them the oldest is forgotten.
    static let limit = 4096
    /// So many clients make an overrun the policy's own fault.
    static let many = 10

    private var entries: [Offender: Entry] = [:]
    /// When it was said last that a policy exceeds its limit whoever calls it.
    private var said: [Policy: Instant] = [:]
    /// From then on nothing that is written here counts.
    private(set) var end: Instant = 0

    var isEmpty: Bool { entries.isEmpty }
    var count: Int { entries.count }

    func isBarred(_ client: ClientShare, from policy: Policy, at now: Instant) -> Bool {
        guard let entry = entries[Offender(policy: policy, client: client)] else { return false }
        return now < entry.barredUntil
    }

    /// - Parameter client: `nil`: a timer of the policy's own.
    mutating func overran(_ policy: Policy, for client: ClientShare?, at now: Instant) -> Judgement {
        guard let client else { return Judgement(isWidespread: mayTell(policy, now)) }
        let offender = Offender(policy: policy, client: client)
        var entry = entries[offender] ?? Entry()
        if now >= entry.forgivenAt { entry = Entry() }
        var judgement = entry.note(now)
        if entries[offender] == nil && entries.count >= OverrunHistory.limit { forgetOldest(now) }
        entries[offender] = entry
        end = max(end, entry.forgivenAt)
        if isKnownToMany(policy, now) { judgement.isWidespread = mayTell(policy, now) }
        return judgement
    }

    /// Nothing of it counts any more.
    mutating func clear() { entries = [:] }

    private mutating func forgetOldest(_ now: Instant) {
        entries = entries.filter { now < $0.value.forgivenAt }
        guard entries.count >= OverrunHistory.limit else { return }
        if let oldest = entries.min(by: { $0.value.last < $1.value.last }) { entries[oldest.key] = nil }
    }

    private func isKnownToMany(_ policy: Policy, _ now: Instant) -> Bool {
        var count = 0
        for (offender, entry) in entries where offender.policy == policy && now < entry.last &+ OverrunHistory.minute {
            count += 1
            if count == OverrunHistory.many { return true }
        }
        return false
    }

    private mutating func mayTell(_ policy: Policy, _ now: Instant) -> Bool {
        if let last = said[policy], now < last &+ OverrunHistory.minute { return false }
        said[policy] = now
        return true
    }
}

extension OverrunHistory.Entry {
    fileprivate mutating func note(_ now: Instant) -> OverrunHistory.Judgement {
        last = now
        // One that had begun before.
        if now < barredUntil { return OverrunHistory.Judgement(bar: barredUntil - now) }
        // The time in which the client was kept out does not count.
        let window = OverrunHistory.window &+ pause
        recent.removeAll { now &- $0 >= window }
        guard recent.count >= 2 else {
            recent.append(now)
            return OverrunHistory.Judgement()
        }
        // One more behind the bar is enough.
        recent = [now, now]
        pause = pause == 0 ? OverrunHistory.second : min(pause * 2, OverrunHistory.longest)
        barredUntil = now &+ pause
        return OverrunHistory.Judgement(bar: pause, isNew: true)
    }
}
