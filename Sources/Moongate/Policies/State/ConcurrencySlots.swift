/// How many requests hold a slot now, by key, over all workers.
///
/// A key is kept while somebody holds a slot of it, so there are never more keys than requests. Slots are given back
/// when the request ends, however it ends: see `PolicyHost.end`.
final class ConcurrencySlots: Sendable {
    private let shards: [Locked<[[UInt8]: Int]>] = (0..<16).map { _ in Locked([:]) }

    /// Takes a slot. `nil`: `limit` slots are taken.
    func take(_ key: [UInt8], limit: Int) -> Int? {
        shard(key).withLock { counts in
            let count = counts[key, default: 0]
            guard count < limit else { return nil }
            counts[key] = count + 1
            return count + 1
        }
    }

    func giveBack(_ key: [UInt8]) {
        shard(key).withLock { counts in
            guard let count = counts[key] else { return }
            counts[key] = count > 1 ? count - 1 : nil
        }
    }

    /// Slots taken now.
    func count(_ key: [UInt8]) -> Int { shard(key).withLock { $0[key] ?? 0 } }

    private func shard(_ key: [UInt8]) -> Locked<[[UInt8]: Int]> { shards[key.hashValue & 15] }
}

/// The slots that one request holds.
final class HeldSlots {
    private let slots: ConcurrencySlots
    private var keys: [[UInt8]] = []

    init(_ slots: ConcurrencySlots) { self.slots = slots }

    deinit { for key in keys { slots.giveBack(key) } }

    func add(_ key: [UInt8]) { keys.append(key) }
}
