/// The bucket of a limit for all keys that its table has no room for.
final class SharedBucket: Sendable {
    private let full = Locked<Instant>(0)

    func take(_ body: (inout Instant) -> LimitAnswer) -> LimitAnswer { full.withLock { body(&$0) } }

    func flush() { full.withLock { $0 = 0 } }
}

/// Keeps a limit among those of its table.
final class LimitHold {
    let table: LimitTable
    let limit: RateLimit
    private let place: String

    init(_ table: LimitTable, _ limit: RateLimit, _ place: String) {
        self.table = table
        self.limit = limit
        self.place = place
    }

    deinit { table.leave(place) }
}

/// One limit of a table: a rate with a burst, for each key.
final class RateLimit: Sendable {
    let quota: LimitQuota
    let shared: SharedBucket
    /// Keeps the buckets of different limits apart.
    let seed: UInt64
    /// It was made while policies loaded, and has a part of the table for itself.
    let isLasting: Bool
    private let interval: Double
    private let burst: Double

    /// - Parameters:
    ///   - interval: nanoseconds in which one unit comes in.
    ///   - burst: units that a bucket holds.
    init(
        _ identity: String, _ quota: LimitQuota, interval: Double, burst: Double, isLasting: Bool,
        shared: SharedBucket = SharedBucket()
    ) {
        self.quota = quota
        self.interval = interval
        self.burst = burst
        self.isLasting = isLasting
        self.shared = shared
        seed = KeyDigester.seed(identity)
    }

    /// Takes from a bucket that fills evenly (GCRA, as ATM Forum TM 4.1 §4.4.2 has it).
    ///
    /// - Parameter full: the moment at which the bucket is full; changed if there was enough.
    func take(_ full: inout Instant, now: Instant, cost: Double) -> LimitAnswer {
        let debt = full > now ? Double(full - now) : 0
        let after = debt + interval * cost
        guard after <= interval * burst else {
            let wait = cost > burst ? .infinity : after - interval * burst
            return LimitAnswer(isAllowed: false, wait: wait, remaining: LimitAnswer.units(debt, interval, burst))
        }
        full = now &+ UInt64(after)
        return LimitAnswer(isAllowed: true, wait: 0, remaining: LimitAnswer.units(after, interval, burst))
    }
}
