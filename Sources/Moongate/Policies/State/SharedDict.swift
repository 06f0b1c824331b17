/// Keys and values that all workers share, under a name. It outlives reloads: see `SharedDicts`.
///
/// Split into shards by the keys' hashes, each with its own lock and its part of the limits.
final class SharedDict: Sendable {
    struct Limits: Sendable, Equatable {
        /// Most entries.
        var entries = 10_000
        /// Most bytes of keys and values, and of what is kept beside them.
        var bytes = 16 << 20
        /// Nanoseconds that a value lives if nothing else is said; 0: it does not expire.
        var life: UInt64 = 0
    }

    enum Increment {
        case value(DictValue)
        case notANumber
        case tooLarge
    }

    static let longestKey = 65_535

    let name: String
    private let current: Locked<Limits>
    private let shards: [DictShard]
    private let clock: StateClock
    private let buckets = Locked<LimitTable?>(nil)

    /// `nil`: no memory.
    init?(_ name: String, _ limits: Limits, clock: StateClock) {
        // Small dicts stay whole, so that what goes first is the oldest of all.
        var count = 1
        while count < 16 && limits.entries / count >= 1024 && limits.bytes / count >= 1 << 20 { count *= 2 }
        var shards: [DictShard] = []
        for _ in 0..<count {
            let shard = DictShard(
                capacity: SharedDict.part(limits.entries, count), weight: SharedDict.part(limits.bytes, count),
                clock: clock)
            guard let shard else { return nil }
            shards.append(shard)
        }
        self.name = name
        self.shards = shards
        self.clock = clock
        current = Locked(limits)
    }

    private static func part(_ whole: Int, _ count: Int) -> Int { (whole + count - 1) / count }

    var limits: Limits { current.withLock { $0 } }

    /// Takes other limits; nothing happens if they are the same.
    func use(_ limits: Limits) {
        let changed = current.withLock { known in
            defer { known = limits }
            return known.entries != limits.entries || known.bytes != limits.bytes
        }
        guard changed else { return }
        for shard in shards {
            shard.resize(
                capacity: SharedDict.part(limits.entries, shards.count),
                weight: SharedDict.part(limits.bytes, shards.count))
        }
    }

    // MARK: Keys

    /// Seeded anew in each process: nobody outside can choose keys that collide.
    @inline(__always) private func hash(_ key: Bytes) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(start: key.base, count: key.count))
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    @inline(__always) private func shard(_ hash: UInt64) -> DictShard {
        shards[Int(truncatingIfNeeded: hash >> 48) & (shards.count - 1)]
    }

    /// - Parameter life: nanoseconds, 0: for ever; `nil`: as the dict's limits say.
    private func expiry(_ life: UInt64?) -> Instant {
        let life = life ?? limits.life
        return life == 0 ? 0 : clock.now() &+ life
    }

    // MARK: Operations

    func read(_ key: Bytes, _ body: (DictValue) -> Void) {
        let hash = hash(key)
        shard(hash).read(key, hash, body)
    }

    func write(_ key: Bytes, _ value: DictValue, _ mode: DictShard.Mode, life: UInt64?) -> DictShard.Outcome {
        let hash = hash(key)
        return shard(hash).write(key, hash, value, mode, expires: expiry(life))
    }

    func remove(_ key: Bytes) -> Bool {
        let hash = hash(key)
        return shard(hash).remove(key, hash)
    }

    /// Nanoseconds that a key still lives, 0: for ever; `nil`: there is no such key.
    func life(of key: Bytes) -> UInt64? {
        let hash = hash(key)
        guard let expires = shard(hash).expiry(key, hash) else { return nil }
        guard expires != 0 else { return 0 }
        let now = clock.now()
        return expires > now ? expires - now : 1
    }

    /// - Parameter life: nanoseconds, 0: for ever. False: there is no such key.
    func expire(_ key: Bytes, life: UInt64) -> Bool {
        let hash = hash(key)
        return shard(hash).expire(key, hash, at: expiry(life))
    }

    /// Adds to a number, in one step for all threads. Integers stay integers and stop at their largest and smallest.
    ///
    /// - Parameters:
    ///   - initial: what a missing value counts as.
    ///   - life: of a value that was missing; one that is there keeps its own.
    func increment(_ key: Bytes, by amount: DictValue, initial: DictValue, life: UInt64?) -> Increment {
        let hash = hash(key)
        let expires = expiry(life)
        var result = Increment.notANumber
        let isKept = shard(hash).update(key, hash) { old, until in
            guard let sum = (old ?? initial).adding(amount) else { return nil }
            result = .value(sum)
            return (sum, old == nil ? expires : until)
        }
        return isKept ? result : .tooLarge
    }

    func flush() {
        for shard in shards { shard.flush() }
        rates?.flush()
    }

    /// What limits that name this dict have counted, if any do.
    var rates: LimitTable? { buckets.withLock { $0 } }

    /// The buckets of the limits that name this dict: beside its entries, so that neither takes the other's room.
    ///
    /// - Parameter keys: of a table that is made now.
    func rates(keys: Int) -> LimitTable {
        buckets.withLock { table in
            if let table { return table }
            let made = LimitTable(name, keys: keys, clock: clock)
            table = made
            return made
        }
    }

    /// Lends up to `limit` keys, in no order. Keys that come and go meanwhile may be among them or not.
    func keys(limit: Int, _ body: (Bytes) -> Void) {
        var left = limit
        for shard in shards {
            var place = 0
            while left > 0 {
                let goesOn = shard.keys(from: &place) { key in
                    if left > 0 { body(key) }
                    left -= 1
                }
                if !goesOn { break }
            }
        }
    }

    /// Entries that have expired count until somebody comes by them.
    var figures: DictShard.Figures {
        shards.reduce(into: DictShard.Figures()) { sum, shard in
            let part = shard.now
            sum.entries += part.entries
            sum.weight += part.weight
            sum.evictions &+= part.evictions
            sum.contended &+= part.contended
        }
    }
}

/// What a rate limit says.
struct LimitAnswer {
    var isAllowed: Bool
    /// Nanoseconds until there is enough; infinite if there never will be.
    var wait: Double
    /// Whole units that are left.
    var remaining: Int64

    /// - Parameter debt: nanoseconds until the bucket is full.
    static func units(_ debt: Double, _ interval: Double, _ burst: Double) -> Int64 {
        // A unit that lacks a nanosecond to rounding is there.
        Int64(clamping: Int(exactly: max(0, ((interval * burst - debt + 1) / interval).rounded(.down))) ?? .max)
    }
}

extension DictValue {
    init(integer: Int64) { self.init(kind: .integer, bits: UInt64(bitPattern: integer)) }
    init(number: Double) { self.init(kind: .number, bits: number.bitPattern) }

    var number: Double? {
        switch kind {
        case .integer: Double(Int64(bitPattern: bits))
        case .number: Double(bitPattern: bits)
        default: nil
        }
    }

    /// `nil` if either is no number.
    func adding(_ other: DictValue) -> DictValue? {
        if kind == .integer && other.kind == .integer {
            let (one, two) = (Int64(bitPattern: bits), Int64(bitPattern: other.bits))
            let (sum, overflows) = one.addingReportingOverflow(two)
            return DictValue(integer: overflows ? (two > 0 ? .max : .min) : sum)
        }
        guard let one = number, let two = other.number else { return nil }
        return DictValue(number: one + two)
    }
}
