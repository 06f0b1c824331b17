/// A handle on a record that lives in a `Pool`: one pointer, copied freely, never retained or released.
///
/// Fields read and write like those of a class (`stream.state = .open`), but cost what a C struct costs. The
/// record's memory stays valid for the life of its pool. A handle is good until the record goes back to the pool: builds with
/// checks (`CHECKED`) end at the first use of a stale one.
@dynamicMemberLookup
struct Pooled<Record>: Equatable {
    private let address: UnsafeMutablePointer<Record>
    #if CHECKED
        private let use: UInt64
    #endif

    /// - Parameter pointer: a record of a `PoolSlot`.
    @inline(__always) init(_ pointer: UnsafeMutablePointer<Record>) {
        address = pointer
        #if CHECKED
            use = PoolSlot.use(of: pointer)
        #endif
    }

    /// From the opaque form that C libraries carry as user data.
    @inline(__always) init?(opaque: UnsafeMutableRawPointer?) {
        guard let opaque else { return nil }
        self.init(opaque.assumingMemoryBound(to: Record.self))
    }

    @inline(__always) var pointer: UnsafeMutablePointer<Record> {
        #if CHECKED
            assert(PoolSlot.use(of: address) == use, "a handle on a \(Record.self) whose use is over")
        #endif
        return address
    }

    @inline(__always) var opaque: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer) }

    @inline(__always) subscript<Value>(dynamicMember field: WritableKeyPath<Record, Value>) -> Value {
        @inline(__always) get { pointer.pointee[keyPath: field] }
        @inline(__always) nonmutating _modify { yield &pointer.pointee[keyPath: field] }
    }

    @inline(__always) subscript<Value>(dynamicMember field: KeyPath<Record, Value>) -> Value {
        pointer.pointee[keyPath: field]
    }

    @inline(__always) static func == (one: Pooled, other: Pooled) -> Bool { one.address == other.address }
}
