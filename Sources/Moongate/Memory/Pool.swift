/// Records of one type, made in slabs and kept for reuse. Thread-confined.
///
/// A record is initialised once, when its slab is made; `take` hands it out as the last user left it, so that
/// the buffers it owns are reused with it. Builds with checks let every record rest while others are used, so that a use of it
/// meanwhile is noticed.
final class Pool<Record> {
    private static var slabSize: Int { 64 }

    private let make: () -> Record
    private let destroy: (UnsafeMutablePointer<Record>) -> Void
    /// A stack with room for every record; raw, since an array in a class is watched for overlapping uses.
    private var free = UnsafeMutablePointer<UnsafeMutablePointer<Record>>.allocate(capacity: 0)
    private var freeCount = 0
    private var slabs: [UnsafeMutableRawPointer] = []
    #if CHECKED
        private static var leastResting: Int { 32 }
    #else
        private static var leastResting: Int { 0 }
    #endif

    /// Records handed out and not given back.
    private(set) var inUse = 0

    /// - Parameters:
    ///   - make: a fresh record.
    ///   - destroy: frees what a record owns, when the pool ends.
    init(make: @escaping () -> Record, destroy: @escaping (UnsafeMutablePointer<Record>) -> Void) {
        self.make = make
        self.destroy = destroy
    }

    deinit {
        for slab in slabs {
            for index in 0..<Pool.slabSize {
                let record = PoolSlot<Record>.record(index, of: slab)
                PoolSlot.wake(record)
                destroy(record)
                record.deinitialize(count: 1)
            }
            slab.deallocate()
        }
        free.deallocate()
    }

    func take() -> Pooled<Record> {
        if freeCount <= Pool.leastResting { addSlab() }
        inUse += 1
        freeCount -= 1
        #if CHECKED
            // The one that has rested for longest.
            let record = free[0]
            (free + 0).update(from: free + 1, count: freeCount)
        #else
            let record = free[freeCount]
        #endif
        PoolSlot.wake(record)
        return Pooled(record)
    }

    func give(back record: Pooled<Record>) {
        guard freeCount < slabs.count * Pool.slabSize else { return }
        inUse -= 1
        free[freeCount] = record.pointer
        freeCount += 1
        PoolSlot.rest(record.pointer)
    }

    private func addSlab() {
        let slab = PoolSlot<Record>.allocate(count: Pool.slabSize)
        slabs.append(slab)
        let larger = UnsafeMutablePointer<UnsafeMutablePointer<Record>>.allocate(capacity: slabs.count * Pool.slabSize)
        larger.update(from: free, count: freeCount)
        free.deallocate()
        free = larger
        for index in (0..<Pool.slabSize).reversed() {
            let record = PoolSlot<Record>.record(index, of: slab)
            record.initialize(to: make())
            (free + freeCount).initialize(to: record)
            freeCount += 1
            PoolSlot.rest(record)
        }
    }
}
