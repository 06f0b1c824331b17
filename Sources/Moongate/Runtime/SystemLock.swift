import Glibc

/// A mutex of the system, for data in raw memory that `Locked` cannot lend. Whoever makes one destroys it.
struct SystemLock: @unchecked Sendable {  // the mutex is made for threads
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>

    init() {
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    func destroy() {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// True: another thread had it, and this one had to wait.
    @inline(__always) func lock() -> Bool {
        if pthread_mutex_trylock(mutex) == 0 { return false }
        pthread_mutex_lock(mutex)
        return true
    }

    @inline(__always) func unlock() { pthread_mutex_unlock(mutex) }
}
