import Glibc

/// A few threads for work that would hold up an event loop: DNS, password hashes.
///
/// Jobs run in the order of submission, as many at once as there are threads. The queue is bounded: a job that finds
/// it full is refused at once, so that overload shows where it arises.
///
/// `@unchecked Sendable`: `jobs` and `isStopped` are only touched under the lock, whose condition variable the
/// library's `Mutex` lacks; the rest never changes.
final class BackgroundPool: @unchecked Sendable {
    typealias Job = @Sendable () -> Void

    enum Priority: Sendable {
        case normal
        /// Gives way to every event loop that has something to do (nice 19).
        case low
    }

    private let queueLimit: Int
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let wakeUp: UnsafeMutablePointer<pthread_cond_t>
    /// A ring would save moves; the queue is short and its jobs take milliseconds.
    private var jobs: [Job] = []
    private var isStopped = false
    private var threads: [OSThread] = []

    /// - Parameters:
    ///   - threads: at least 1.
    ///   - queueLimit: jobs that may wait, those that run not counted.
    /// - Throws: `SystemError` when the system refuses a thread.
    init(name: String, threads: Int, queueLimit: Int, priority: Priority = .normal) throws {
        self.queueLimit = queueLimit
        lock = .allocate(capacity: 1)
        wakeUp = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        pthread_cond_init(wakeUp, nil)
        // A thread keeps the pool alive until `stop`.
        for _ in 0..<max(1, threads) {
            do {
                self.threads.append(
                    try OSThread.start(name: name) {
                        if priority == .low { BackgroundPool.lowerPriority() }
                        while let job = self.next() { job() }
                    })
            } catch {
                stop()
                throw error
            }
        }
    }

    deinit {
        pthread_cond_destroy(wakeUp)
        pthread_mutex_destroy(lock)
        wakeUp.deallocate()
        lock.deallocate()
    }

    /// Queues a job; `false`: the queue is full or the pool has stopped, and the job will not run.
    func submit(_ job: @escaping Job) -> Bool {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        if isStopped || jobs.count >= queueLimit { return false }
        jobs.append(job)
        pthread_cond_signal(wakeUp)
        return true
    }

    /// Lets the threads end after the job that each has in hand; waiting jobs are dropped without a word. Does not
    /// wait for the threads.
    func stop() {
        end()
        for thread in threads { thread.detach() }
    }

    private func end() {
        pthread_mutex_lock(lock)
        isStopped = true
        let dropped = jobs
        jobs = []
        pthread_cond_broadcast(wakeUp)
        pthread_mutex_unlock(lock)
        // Released outside the lock: what a job holds may do anything as it goes.
        withExtendedLifetime(dropped) {}
    }

    /// Stops and waits until every thread has ended. Not to be called from a job.
    func stopAndWait() {
        end()
        for thread in threads { thread.join() }
    }

    /// As `stopAndWait`, until `deadline` at most.
    /// - Returns: whether every thread has ended.
    func stop(by deadline: Instant) -> Bool {
        end()
        return threads.reduce(true) { $1.join(until: deadline) && $0 }
    }

    /// The next job, once there is one; `nil` after `stop`.
    private func next() -> Job? {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        while jobs.isEmpty && !isStopped { pthread_cond_wait(wakeUp, lock) }
        return isStopped ? nil : jobs.removeFirst()
    }

    /// On Linux a nice value belongs to the thread, and 0 names the calling one (setpriority(2)).
    private static func lowerPriority() {
        _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 19)
    }
}
