/// One part of a shared dict: the keys whose hashes fall to it, behind a lock of their own.
///
/// The lock is held for one look-up and what it changes, never for a walk through the table.
final class DictShard: @unchecked Sendable {  // unchecked: everything that changes is touched under the lock only
    struct Figures {
        var entries = 0
        var weight = 0
        /// Entries that made room for others before they had expired.
        var evictions: UInt64 = 0
        /// Times that a thread found the lock taken.
        var contended: UInt64 = 0
    }

    private let lock = SystemLock()
    private var table: DictTable
    private var weightLimit: Int
    private let clock: StateClock
    private var figures = Figures()

    /// How many old entries one write looks at to make room.
    private static let evictionStep = 16

    /// `nil`: no memory.
    init?(capacity: Int, weight: Int, clock: StateClock) {
        guard let table = DictTable(capacity: capacity) else { return nil }
        self.table = table
        weightLimit = weight
        self.clock = clock
    }

    deinit {
        table.free()
        lock.destroy()
    }

    @inline(__always) private func locked<Result>(_ body: () -> Result) -> Result {
        if lock.lock() { figures.contended &+= 1 }
        defer { lock.unlock() }
        return body()
    }

    /// The living entry of a key, counted as used; one that has expired is removed.
    @inline(__always) private func living(_ key: Bytes, _ hash: UInt64) -> Int32 {
        let place = table.find(key, hash)
        guard place != DictTable.none else { return place }
        let expires = table[place].pointee.expires
        if expires != 0 && expires <= clock.now() {
            table.remove(place)
            return DictTable.none
        }
        table.touch(place)
        return place
    }

    // MARK: Reading

    /// Lends the value under the lock: `body` copies what it needs.
    func read(_ key: Bytes, _ hash: UInt64, _ body: (DictValue) -> Void) {
        locked {
            let place = living(key, hash)
            if place != DictTable.none { body(table[place].pointee.value) }
        }
    }

    /// The moment at which a key expires, 0: never; `nil`: there is no such key.
    func expiry(_ key: Bytes, _ hash: UInt64) -> Instant? {
        locked {
            let place = living(key, hash)
            return place == DictTable.none ? nil : table[place].pointee.expires
        }
    }

    /// Lends the keys that lie at some places from `place` on, and leaves `place` behind them. False: that was all.
    func keys(from place: inout Int, _ body: (Bytes) -> Void) -> Bool {
        locked {
            let end = min(table.used, place + 64)
            let now = clock.now()
            while place < end {
                let entry = table[Int32(place)]
                let isAlive = entry.pointee.expires == 0 || entry.pointee.expires > now
                if table.isUsed(Int32(place)) && isAlive { body(entry.pointee.key) }
                place += 1
            }
            return place < table.used
        }
    }

    var now: Figures {
        locked {
            figures.entries = table.count
            figures.weight = table.weight
            return figures
        }
    }

    // MARK: Writing

    enum Mode { case set, add, replace }
    enum Outcome {
        case done
        /// `add` found the key, `replace` did not.
        case refused
        /// There is not enough room even without all others.
        case tooLarge
    }

    func write(_ key: Bytes, _ hash: UInt64, _ value: DictValue, _ mode: Mode, expires: Instant) -> Outcome {
        guard DictTable.weight(key: key.count, value: value.bytes.count) <= weightLimit else { return .tooLarge }
        while true {
            let outcome: Outcome? = locked {
                let place = living(key, hash)
                if mode == .add && place != DictTable.none { return .refused }
                if mode == .replace && place == DictTable.none { return .refused }
                return store(key, hash, value, at: place, expires: expires)
            }
            if let outcome { return outcome }
        }
    }

    /// `nil`: some room was made, but not enough yet.
    private func store(
        _ key: Bytes, _ hash: UInt64, _ value: DictValue, at place: Int32, expires: Instant
    ) -> Outcome? {
        if place != DictTable.none {
            guard table.replace(place, value) else { return .tooLarge }
            table[place].pointee.expires = expires
            return makeRoom(entries: 0, weight: 0) ? .done : nil
        }
        let weight = DictTable.weight(key: key.count, value: value.bytes.count)
        guard makeRoom(entries: 1, weight: weight) else { return nil }
        return table.insert(key, hash, value, expires: expires) ? .done : .tooLarge
    }

    /// Removes what has expired at the old end, then the oldest, a few in one go. False: it takes another go.
    private func makeRoom(entries: Int, weight: Int) -> Bool {
        for step in 0..<DictShard.evictionStep {
            let place = table.oldest
            guard place != DictTable.none else { return true }
            let expires = table[place].pointee.expires
            let isFull = table.count + entries > table.capacity || table.weight + weight > weightLimit
            // Two looks at the old end with each new entry keep dead ones from piling up.
            guard isFull || (step < 2 && entries > 0 && expires != 0) else { return true }
            let isDead = expires != 0 && expires <= clock.now()
            guard isFull || isDead else { return true }
            if !isDead { figures.evictions &+= 1 }
            table.remove(place)
        }
        return table.count + entries <= table.capacity && table.weight + weight <= weightLimit
    }

    func remove(_ key: Bytes, _ hash: UInt64) -> Bool {
        locked {
            let place = living(key, hash)
            guard place != DictTable.none else { return false }
            table.remove(place)
            return true
        }
    }

    /// False: there is no such key.
    func expire(_ key: Bytes, _ hash: UInt64, at expires: Instant) -> Bool {
        locked {
            let place = living(key, hash)
            guard place != DictTable.none else { return false }
            table[place].pointee.expires = expires
            return true
        }
    }

    /// Runs `change` on the value, or makes a value with `start` first, in one step for all threads.
    ///
    /// - Parameter change: gives the new value, without bytes, and moment of expiry; `nil` leaves everything as it is.
    /// - Returns: false if the value could not be kept.
    func update(
        _ key: Bytes, _ hash: UInt64, _ change: (_ old: DictValue?, _ expires: Instant) -> (DictValue, Instant)?
    ) -> Bool {
        guard DictTable.weight(key: key.count, value: 0) <= weightLimit else { return false }
        while true {
            let outcome: Outcome? = locked {
                let place = living(key, hash)
                let old = place == DictTable.none ? nil : table[place].pointee.value
                let expires = place == DictTable.none ? 0 : table[place].pointee.expires
                guard let (value, until) = change(old, expires) else { return .done }
                guard place != DictTable.none else { return store(key, hash, value, at: place, expires: until) }
                // A number never needs more room than what was there.
                table[place].pointee.expires = until
                return table.replace(place, value) ? .done : .tooLarge
            }
            if let outcome { return outcome == .done }
        }
    }

    /// Forgets everything. The entries are freed after the lock was given back.
    func flush() {
        guard let fresh = DictTable(capacity: table.capacity) else { return }
        var old = fresh
        locked { swap(&old, &table) }
        old.free()
    }

    /// Sets other limits; what no longer fits goes, the oldest first. Takes time once, in proportion to the entries.
    func resize(capacity: Int, weight: Int) {
        guard let larger = DictTable(capacity: capacity) else { return }
        var fresh = larger
        locked {
            weightLimit = weight
            while table.count > capacity || table.weight > weight { table.remove(table.oldest) }
            var place = table.oldest
            while place != DictTable.none {
                let entry = table[place].pointee
                _ = fresh.insert(entry.key, entry.hash, entry.value, expires: entry.expires)
                place = entry.newer
            }
            swap(&fresh, &table)
        }
        fresh.free()
    }
}
