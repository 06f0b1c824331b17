import CMoongate

extension LuaVM {
    /// Bytes that a VM holds.
    public struct MemoryUse: Sendable, Equatable {
        public var held: Int
        /// The most there has been.
        public var peak: Int
        /// What the last full collection left; 0 before the first one.
        public var live: Int
        public var limit: Int
    }

    public var memory: MemoryUse {
        let state = mg_lua_memory(pointer)
        return MemoryUse(held: state.held, peak: state.peak, live: state.live, limit: state.limit)
    }

    /// Bytes in use.
    @inline(__always) public var memoryInUse: Int { mg_lua_held(pointer) }

    /// Bytes that the last run has asked for since it began or went on, whatever became of them.
    @inline(__always) public var memoryTaken: Int { mg_lua_taken(pointer) }

    /// How often memory was asked for since the VM was made.
    public var allocationCount: UInt64 { mg_lua_allocations(pointer) }

    /// A full collection. Takes time in proportion to what the VM holds.
    public func collectGarbage() { mg_lua_collect(pointer) }

    /// Counts what the VM holds in `pool` from now on; `nil`: in none. On the pool's thread.
    public func join(_ pool: LuaMemoryPool?) {
        self.pool = pool
        mg_lua_join_pool(pointer, pool?.pointer)
    }
}

/// What several VMs of one thread may hold together. One that is full refuses the run that asks for more, whatever the others hold.
public final class LuaMemoryPool {
    let pointer: UnsafeMutablePointer<mg_pool>

    /// - Parameter limit: in bytes.
    public init(limit: Int) {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: mg_pool(held: 0, limit: max(0, limit)))
    }

    deinit { pointer.deallocate() }

    /// Bytes that its VMs hold.
    public var held: Int { pointer.pointee.held }

    /// Bytes that its VMs may hold. Those that hold more already keep it.
    public var limit: Int {
        get { pointer.pointee.limit }
        set { pointer.pointee.limit = max(0, newValue) }
    }
}
