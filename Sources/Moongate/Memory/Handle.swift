/// A handle on a record in raw memory: one pointer, copied freely, never retained or released.
///
/// Fields read and write like those of a class, but nothing watches them for overlapping uses. The record belongs to someone else,
/// who frees it; a handle is good for as long as that owner says. Records of a `Pool` have `Pooled` handles, which are checked.
@dynamicMemberLookup
struct Handle<Record>: Equatable {
    let pointer: UnsafeMutablePointer<Record>

    @inline(__always) init(_ pointer: UnsafeMutablePointer<Record>) { self.pointer = pointer }

    /// A record of its own, which lives until `free`.
    static func allocate(_ record: consuming Record) -> Handle {
        let pointer = UnsafeMutablePointer<Record>.allocate(capacity: 1)
        pointer.initialize(to: record)
        return Handle(pointer)
    }

    /// Ends the record. No copy of the handle may be used afterwards.
    func free() {
        pointer.deinitialize(count: 1)
        pointer.deallocate()
    }

    @inline(__always) subscript<Value>(dynamicMember field: WritableKeyPath<Record, Value>) -> Value {
        @inline(__always) get { pointer.pointee[keyPath: field] }
        @inline(__always) nonmutating _modify { yield &pointer.pointee[keyPath: field] }
    }

    @inline(__always) subscript<Value>(dynamicMember field: KeyPath<Record, Value>) -> Value {
        pointer.pointee[keyPath: field]
    }
}
