/// A handle on a record that lives in a `Pool`: one pointer, copied freely, never retained or released.
///
/// Fields read and write like those of a class (`stream.state = .open`), but cost what a C struct costs. The
/// record's memory stays valid for the life of its pool; what may be reused under a handle is the owner's care.
@dynamicMemberLookup
struct Pooled<Record>: Equatable {
    let pointer: UnsafeMutablePointer<Record>

    @inline(__always) init(_ pointer: UnsafeMutablePointer<Record>) { self.pointer = pointer }

    /// From the opaque form that C libraries carry as user data.
    @inline(__always) init?(opaque: UnsafeMutableRawPointer?) {
        guard let opaque else { return nil }
        pointer = opaque.assumingMemoryBound(to: Record.self)
    }

    @inline(__always) var opaque: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer) }

    @inline(__always) subscript<Value>(dynamicMember field: WritableKeyPath<Record, Value>) -> Value {
        @inline(__always) get { pointer.pointee[keyPath: field] }
        @inline(__always) nonmutating _modify { yield &pointer.pointee[keyPath: field] }
    }

    @inline(__always) static func == (one: Pooled, other: Pooled) -> Bool { one.pointer == other.pointer }
}
