import Glibc

/// A value that threads share, one at a time.
///
/// A mutex of the system and not the standard library's: ThreadSanitizer cannot see into that one on Linux and
/// takes everything it guards for a race.
///
/// `Value` is no function type and no optional of one: each read would wrap the function once more, in the thunks that lend a function
/// through a generic parameter and take it back, until a call overflows the stack. `scripts/check-layers` looks for that.
final class Locked<Value>: @unchecked Sendable {  // the value is touched under the lock only
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    init(_ value: sending Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Lends the value. Other threads wait meanwhile, so `body` is short, and it never locks the same value again.
    func withLock<Result, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
