/// Records of one type, made in slabs and kept for reuse. Thread-confined.
///
/// A record is initialised once, when its slab is made; `take` hands it out as the last user left it, so that
/// the buffers it owns are reused with it.
final class Pool<Record> {
    private static var slabSize: Int { 64 }

    private let make: () -> Record
    private let destroy: (UnsafeMutablePointer<Record>) -> Void
    /// A stack with room for every record; raw, since an array in a class is watched for overlapping uses.
    private var free = UnsafeMutablePointer<Pooled<Record>>.allocate(capacity: 0)
    private var freeCount = 0
    private var slabs: [UnsafeMutablePointer<Record>] = []

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
            for index in 0..<Pool.slabSize { destroy(slab + index) }
            slab.deinitialize(count: Pool.slabSize)
            slab.deallocate()
        }
        free.deallocate()
    }

    func take() -> Pooled<Record> {
        if freeCount == 0 { addSlab() }
        inUse += 1
        freeCount -= 1
        return free[freeCount]
    }

    func give(back record: Pooled<Record>) {
        guard freeCount < slabs.count * Pool.slabSize else { return }
        inUse -= 1
        free[freeCount] = record
        freeCount += 1
    }

    /// Called when none is free.
    private func addSlab() {
        let slab = UnsafeMutablePointer<Record>.allocate(capacity: Pool.slabSize)
        for index in 0..<Pool.slabSize { (slab + index).initialize(to: make()) }
        slabs.append(slab)
        free.deallocate()
        free = .allocate(capacity: slabs.count * Pool.slabSize)
        for index in (0..<Pool.slabSize).reversed() {
            (free + freeCount).initialize(to: Pooled(slab + index))
            freeCount += 1
        }
    }
}
