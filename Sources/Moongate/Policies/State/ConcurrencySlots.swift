/// How many requests hold a slot now, by key, over all workers: those of one policy file.
///
/// A key is kept while somebody holds a slot of it, so there are never more keys than slots held. Beyond a bound, keys that
/// nobody holds yet share one count for each limit. Slots are given back when the request ends, however it ends: see
/// `PolicyHost.end`.
final class ConcurrencySlots: Sendable {
    struct Taken {
        let key: KeyDigest
        /// Slots of the key that are taken now.
        let count: Int
    }

    private let digester = KeyDigester()
    private let shards: [Locked<[KeyDigest: Int]>] = (0..<16).map { _ in Locked([:]) }
    private let mostInShard: Int

    /// - Parameter keys: about how many are counted apart.
    init(keys: Int = 100_000) { mostInShard = max(1, keys / 16) }

    /// Takes a slot. `nil`: `limit` slots are taken.
    func take(_ seed: UInt64, _ key: Bytes, limit: Int) -> Taken? {
        let digest = digester.digest(seed, key)
        switch take(digest, limit, isShared: false) {
        case .taken(let count): return Taken(key: digest, count: count)
        case .refused: return nil
        case .full: break
        }
        // Stands for all keys of the limit; a digest that happens to be the same is as unlikely as any two.
        let shared = KeyDigest(low: seed, high: ~seed)
        guard case .taken(let count) = take(shared, limit, isShared: true) else { return nil }
        return Taken(key: shared, count: count)
    }

    private enum Answer {
        case taken(Int)
        case refused
        /// The key is unknown, and there is no room for another.
        case full
    }

    private func take(_ key: KeyDigest, _ limit: Int, isShared: Bool) -> Answer {
        shard(key).withLock { counts in
            let count = counts[key] ?? 0
            guard count < limit else { return .refused }
            if count == 0 && !isShared && counts.count >= mostInShard { return .full }
            counts[key] = count + 1
            return .taken(count + 1)
        }
    }

    func giveBack(_ key: KeyDigest) {
        shard(key).withLock { counts in
            guard let count = counts[key] else { return }
            counts[key] = count > 1 ? count - 1 : nil
        }
    }

    /// Keys of which slots are held now.
    var keys: Int { shards.reduce(0) { $0 + $1.withLock { $0.count } } }

    private func shard(_ key: KeyDigest) -> Locked<[KeyDigest: Int]> { shards[Int(truncatingIfNeeded: key.high) & 15] }
}

/// The slots that one request holds, of any policies.
final class HeldSlots {
    /// So that a script cannot collect them for ever.
    static let most = 256

    private var held: [(slots: ConcurrencySlots, key: KeyDigest)] = []

    deinit { for (slots, key) in held { slots.giveBack(key) } }

    var isFull: Bool { held.count >= HeldSlots.most }

    func add(_ key: KeyDigest, of slots: ConcurrencySlots) { held.append((slots, key)) }
}
