import Synchronization

/// The buckets of the rate limits of one policy file, or of those that name one dict: for all workers and generations.
///
/// A table counts so many keys apart; buckets that are full again go first. When it is full, keys that it does not know
/// share one bucket for each limit, and it never forgets a bucket that still counts. Each limit may always have its part of
/// the keys, and more while others leave room: a table holds twice its number at most, with some 90 bytes for each.
final class LimitTable: Sendable {
    /// Keys of a table whose limits ask for no number.
    static let defaultKeys = 100_000
    /// Limits that hooks make as they go and that have a part of their own.
    private static let mostPassing = 64

    private struct Lasting {
        let limit: RateLimit
        let keys: Int
        var holds = 0
    }

    private struct Limits {
        /// Those that were made while policies loaded, by identity and number of keys.
        var lasting: [String: Lasting] = [:]
        /// Those that hooks have made, by identity.
        var passing: [String: RateLimit] = [:]
        /// Has the part and the shared bucket of hooks' limits beyond these.
        var rest: RateLimit?
        /// Quotas that no limit uses. Buckets point to quotas, so they are kept as long as the table.
        var idle: [LimitQuota] = []
    }

    let name: String
    private let clock: StateClock
    private let digester = KeyDigester()
    private let shards: [LimitShard]
    private let limits = Locked(Limits())
    /// Keys that are counted apart.
    private let total = Atomic<Int>(0)
    /// How many there may be.
    private let most: Atomic<Int>
    /// How many each lasting limit may have in any case, and each of the hooks' limits.
    private let lastingPart = Atomic<Int>(1)
    private let passingPart = Atomic<Int>(1)
    private let shared = Atomic<UInt64>(0)

    init(_ name: String, keys: Int, clock: StateClock) {
        self.name = name
        self.clock = clock
        // Small tables stay whole.
        shards = (0..<(keys <= 8192 ? 1 : 64)).map { _ in LimitShard() }
        most = Atomic(keys)
    }

    struct Figures {
        var keys: Int
        /// Takes that the shared bucket of a limit has answered.
        var shared: UInt64
    }

    var figures: Figures {
        Figures(keys: total.load(ordering: .relaxed), shared: shared.load(ordering: .relaxed))
    }

    // MARK: Limits

    /// The limit that a loading policy defines, as long as the result lasts.
    ///
    /// - Parameter keys: how many keys the limit wants the table to count apart; the largest number holds.
    func lasting(_ identity: String, interval: Double, burst: Double, keys: Int) -> LimitHold {
        let place = "\(identity)\u{1f}\(keys)"
        let limit = limits.withLock { limits in
            if limits.lasting[place] == nil {
                let quota = limits.idle.popLast() ?? LimitQuota()
                let limit = RateLimit(identity, quota, interval: interval, burst: burst, isLasting: true)
                limits.lasting[place] = Lasting(limit: limit, keys: keys)
                divide(limits)
            }
            limits.lasting[place]?.holds += 1
            return limits.lasting[place]?.limit
        }
        return LimitHold(
            self, limit ?? RateLimit(identity, LimitQuota(), interval: interval, burst: burst, isLasting: true), place)
    }

    /// The limit that a hook asks for: one that is known, or one that shares a part with the others that hooks have made.
    func passing(_ identity: String, interval: Double, burst: Double, keys: Int) -> RateLimit {
        limits.withLock { limits in
            if let known = limits.lasting["\(identity)\u{1f}\(keys)"]?.limit ?? limits.passing[identity] {
                return known
            }
            if limits.passing.count >= LimitTable.mostPassing { forgetPassing(&limits) }
            if limits.passing.count >= LimitTable.mostPassing {
                let rest = limits.rest
                let limit = RateLimit(
                    identity, rest?.quota ?? limits.idle.popLast() ?? LimitQuota(), interval: interval, burst: burst,
                    isLasting: false, shared: rest?.shared ?? SharedBucket())
                if rest == nil {
                    limits.rest = limit
                    divide(limits)
                }
                return limit
            }
            let quota = limits.idle.popLast() ?? LimitQuota()
            let limit = RateLimit(identity, quota, interval: interval, burst: burst, isLasting: false)
            limits.passing[identity] = limit
            divide(limits)
            return limit
        }
    }

    /// Forgets limits of hooks that have no buckets.
    private func forgetPassing(_ limits: inout Limits) {
        for (identity, limit) in limits.passing where limit.quota.held.load(ordering: .relaxed) <= 0 {
            limits.passing[identity] = nil
            limits.idle.append(limit.quota)
        }
    }

    /// A holder has gone. The buckets of a limit that has no other count until they are full again.
    func leave(_ place: String) {
        limits.withLock { limits in
            guard let known = limits.lasting[place] else { return }
            limits.lasting[place]?.holds -= 1
            guard known.holds <= 1 else { return }
            limits.lasting[place] = nil
            limits.idle.append(known.limit.quota)
            divide(limits)
        }
    }

    private func divide(_ limits: borrowing Limits) {
        let keys = limits.lasting.values.reduce(0) { max($0, $1.keys) }
        if keys > 0 { most.store(keys, ordering: .relaxed) }
        let passing = limits.passing.count + (limits.rest == nil ? 0 : 1)
        let part = max(1, most.load(ordering: .relaxed) / max(1, limits.lasting.count + min(1, passing)))
        lastingPart.store(part, ordering: .relaxed)
        passingPart.store(max(1, part / max(1, passing)), ordering: .relaxed)
    }

    /// Forgets all buckets.
    func flush() {
        for shard in shards { release(shard.flush()) }
        limits.withLock { limits in
            for lasting in limits.lasting.values { lasting.limit.shared.flush() }
            for limit in limits.passing.values { limit.shared.flush() }
            limits.rest?.shared.flush()
        }
    }

    // MARK: Taking

    /// Takes from the bucket of a key, in one step for all threads.
    func take(_ limit: RateLimit, _ key: Bytes, cost: Double) -> LimitAnswer {
        let digest = digester.digest(limit.seed, key)
        let shard = shards[Int(truncatingIfNeeded: digest.high >> 48) & (shards.count - 1)]
        let now = clock.now()
        var answer = LimitAnswer(isAllowed: false, wait: 0, remaining: 0)
        func take(_ full: inout Instant) { answer = limit.take(&full, now: now, cost: cost) }
        if shard.change(digest, take) { return answer }
        var full: Instant = 0
        take(&full)
        // Who gets nothing leaves nothing to remember.
        guard answer.isAllowed else { return answer }
        release(shard.dropExpired(now, steps: 2))
        guard admit(limit, now) else {
            shared.wrappingAdd(1, ordering: .relaxed)
            return limit.shared.take { limit.take(&$0, now: now, cost: cost) }
        }
        if !shard.insert(digest, full, limit.quota, take) {
            limit.quota.held.wrappingSubtract(1, ordering: .relaxed)
            release(1)
        }
        return answer
    }

    /// Counts one more key for a limit, once there is room.
    private func admit(_ limit: RateLimit, _ now: Instant) -> Bool {
        if reserve(limit) { return true }
        var visits = 4
        for shard in shards where shard.mayHoldExpired(now) {
            release(shard.dropExpired(now, steps: 16))
            if reserve(limit) { return true }
            visits -= 1
            if visits == 0 { break }
        }
        return false
    }

    private func reserve(_ limit: RateLimit) -> Bool {
        let part =
            limit.isLasting ? lastingPart.load(ordering: .relaxed) : passingPart.load(ordering: .relaxed)
        let held = limit.quota.held.wrappingAdd(1, ordering: .relaxed).newValue
        let all = total.wrappingAdd(1, ordering: .relaxed).newValue
        if held <= part || all <= most.load(ordering: .relaxed) { return true }
        limit.quota.held.wrappingSubtract(1, ordering: .relaxed)
        release(1)
        return false
    }

    private func release(_ count: Int) {
        if count > 0 { total.wrappingSubtract(count, ordering: .relaxed) }
    }
}
