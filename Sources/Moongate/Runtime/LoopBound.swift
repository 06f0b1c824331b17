/// A weak reference to an object of one event loop, on its way through other threads.
///
/// Unchecked, since the compiler cannot see that `value` is only read in work posted back to the loop on whose
/// thread the object lives.
final class LoopBound<Object: AnyObject>: @unchecked Sendable {
    private weak var object: Object?

    init(_ object: Object) { self.object = object }

    /// `nil` when the object is gone. On its loop's thread.
    var value: Object? { object }
}
