/// An object on its way to the thread that will own it.
///
/// Unchecked, since the compiler cannot see that whoever makes one gives the object up, and that `take` is called
/// once, on the new owner's thread.
final class Handover<Object>: @unchecked Sendable {
    private var object: Object?

    init(_ object: Object) { self.object = object }

    /// The object, the first time; `nil` later.
    func take() -> Object? {
        defer { object = nil }
        return object
    }
}
