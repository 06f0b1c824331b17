import Synchronization

/// How many living buckets one limit has in a table. Owned by the table, used again when the limit is gone.
final class LimitQuota: Sendable {
    let held = Atomic<Int>(0)
}

/// One part of a limit table: the buckets whose digests fall to it, behind a lock of their own.
///
/// A bucket is the moment at which it is full again; from then on it says no more than no bucket does, and may go. The
/// buckets are also in a heap by that moment as it was when the heap last looked: a moment only moves on, so where the
/// first of the heap has not come, none has.
final class LimitShard: @unchecked Sendable {  // unchecked: everything that changes is touched under the lock only
    private struct Bucket {
        var digest: KeyDigest
        var full: Instant
        let quota: Unmanaged<LimitQuota>
        /// The next with the same head, or the next that is free.
        var next: Int32
    }

    private struct Expiry {
        var full: Instant
        var place: Int32
    }

    private static let none: Int32 = -1

    private let lock = SystemLock()
    private var buckets: [Bucket] = []
    private var firstFree = LimitShard.none
    /// Places of the first buckets, or `none`; their number is a power of two.
    private var heads = Array(repeating: LimitShard.none, count: 8)
    private var heap: [Expiry] = []
    /// The first moment of the heap, to be read without the lock.
    private let first = Atomic<UInt64>(.max)

    deinit { lock.destroy() }

    private func locked<Result>(_ body: () -> Result) -> Result {
        _ = lock.lock()
        defer { lock.unlock() }
        return body()
    }

    /// Some buckets may be full again.
    func mayHoldExpired(_ now: Instant) -> Bool { first.load(ordering: .relaxed) <= now }

    /// Lends the moment of a known bucket. False: there is none.
    func change(_ digest: KeyDigest, _ body: (inout Instant) -> Void) -> Bool {
        locked {
            let place = find(digest)
            guard place != LimitShard.none else { return false }
            body(&buckets[Int(place)].full)
            return true
        }
    }

    /// Adds a bucket, or lends the one that another thread has added meanwhile.
    /// - Returns: whether it was added.
    func insert(_ digest: KeyDigest, _ full: Instant, _ quota: LimitQuota, _ body: (inout Instant) -> Void) -> Bool {
        locked {
            let known = find(digest)
            guard known == LimitShard.none else {
                body(&buckets[Int(known)].full)
                return false
            }
            if heap.count >= heads.count { spread() }
            let head = Int(truncatingIfNeeded: digest.low) & (heads.count - 1)
            let bucket = Bucket(digest: digest, full: full, quota: .passUnretained(quota), next: heads[head])
            let place = take(bucket)
            heads[head] = place
            push(Expiry(full: full, place: place))
            return true
        }
    }

    /// Drops buckets that are full again.
    /// - Parameter steps: how many to look at.
    /// - Returns: how many went.
    func dropExpired(_ now: Instant, steps: Int) -> Int {
        guard mayHoldExpired(now) else { return 0 }
        return locked {
            var dropped = 0
            for _ in 0..<steps {
                guard let expiry = heap.first, expiry.full <= now else { break }
                let full = buckets[Int(expiry.place)].full
                if full <= now {
                    remove(expiry.place)
                    dropped += 1
                } else {
                    heap[0].full = full
                    sink(0)
                }
            }
            if heap.isEmpty { shrink() }
            first.store(heap.first?.full ?? .max, ordering: .relaxed)
            return dropped
        }
    }

    /// Forgets everything.
    /// - Returns: how many buckets went.
    func flush() -> Int {
        locked {
            let count = heap.count
            for expiry in heap { leave(buckets[Int(expiry.place)].quota) }
            clear()
            first.store(.max, ordering: .relaxed)
            return count
        }
    }

    // MARK: The table

    private func find(_ digest: KeyDigest) -> Int32 {
        var place = heads[Int(truncatingIfNeeded: digest.low) & (heads.count - 1)]
        while place != LimitShard.none && buckets[Int(place)].digest != digest { place = buckets[Int(place)].next }
        return place
    }

    private func take(_ bucket: Bucket) -> Int32 {
        let place = firstFree
        guard place != LimitShard.none else {
            buckets.append(bucket)
            return Int32(buckets.count - 1)
        }
        firstFree = buckets[Int(place)].next
        buckets[Int(place)] = bucket
        return place
    }

    /// Removes the first of the heap, which lies at `place`.
    private func remove(_ place: Int32) {
        let bucket = buckets[Int(place)]
        let head = Int(truncatingIfNeeded: bucket.digest.low) & (heads.count - 1)
        if heads[head] == place {
            heads[head] = bucket.next
        } else {
            var before = heads[head]
            while buckets[Int(before)].next != place { before = buckets[Int(before)].next }
            buckets[Int(before)].next = bucket.next
        }
        buckets[Int(place)].next = firstFree
        firstFree = place
        leave(bucket.quota)
        let last = heap.removeLast()
        guard !heap.isEmpty else { return }
        heap[0] = last
        sink(0)
    }

    private func leave(_ quota: Unmanaged<LimitQuota>) {
        quota._withUnsafeGuaranteedRef { _ = $0.held.wrappingSubtract(1, ordering: .relaxed) }
    }

    /// Doubles the heads. A part is small enough for that to take well below a millisecond.
    private func spread() {
        heads = Array(repeating: LimitShard.none, count: heads.count * 2)
        for expiry in heap {
            let head = Int(truncatingIfNeeded: buckets[Int(expiry.place)].digest.low) & (heads.count - 1)
            buckets[Int(expiry.place)].next = heads[head]
            heads[head] = expiry.place
        }
    }

    /// Nothing is left: what a flood has made large goes back.
    private func shrink() {
        if buckets.capacity > 1024 { clear() }
    }

    private func clear() {
        buckets = []
        heap = []
        heads = Array(repeating: LimitShard.none, count: 8)
        firstFree = LimitShard.none
    }

    // MARK: The heap

    private func push(_ expiry: Expiry) {
        heap.append(expiry)
        var index = heap.count - 1
        while index > 0 && heap[(index - 1) / 2].full > heap[index].full {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
        if index == 0 { first.store(expiry.full, ordering: .relaxed) }
    }

    private func sink(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in (2 * index + 1)...(2 * index + 2)
            where child < heap.count && heap[child].full < heap[least].full { least = child }
            if least == index { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
