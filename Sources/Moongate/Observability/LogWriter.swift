import Glibc
import Synchronization

/// Carries log lines from the threads' rings to their destination, on a thread of its own.
///
/// Whatever the destination does, only this thread waits for it: when it is slow the rings fill and their writers
/// drop lines.
final class LogWriter: Sendable {
    private struct Orders {
        var destination: LogDestination?
        var reopen = false
        /// Set once by `close`.
        var deadline: Instant?
    }

    private let rings: [ByteRing]
    private let orders: Locked<Orders>
    /// The writer waits for work; whoever has some clears it and rings the bell.
    private let asleep = Atomic<Bool>(false)
    private let bell: Waker
    private let thread = Locked<OSThread?>(nil)
    private let finished = Atomic<Bool>(false)
    /// Called on the writer's thread with the number of lines that the destination refused.
    private let lost: @Sendable (UInt64) -> Void

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - destination: `nil` throws lines away until `use` gives one.
    ///   - lost: told on the writer's thread how many lines the destination refused.
    init(
        name: String, rings: [ByteRing], destination: LogDestination?,
        lost: @escaping @Sendable (UInt64) -> Void
    ) throws(SystemError) {
        bell = try Waker()
        self.rings = rings
        self.lost = lost
        orders = Locked(Orders(destination: destination))
        let thread = try OSThread.start(name: name, stackSize: 512 << 10) { [self] in run() }
        self.thread.withLock { $0 = thread }
    }

    /// To be called after each write to a ring: costs one load while the writer is busy.
    @inline(__always) func wake() {
        if asleep.load(ordering: .relaxed) { ring() }
    }

    /// Later lines go here; `nil` throws them away.
    func use(_ destination: LogDestination?) {
        orders.withLock { orders in
            orders.destination = destination
            orders.reopen = false
        }
        ring()
    }

    /// Opens the destination's path afresh, after somebody has moved the old file away. If that fails, the old one
    /// stays in use.
    func reopen() {
        orders.withLock { $0.reopen = true }
        ring()
    }

    /// Writes what the rings hold and ends the thread; what is left after `timeout` is lost.
    func close(timeout: Duration = .seconds(1)) {
        let deadline = Clock.now() + timeout.nanoseconds
        beginClosing(by: deadline)
        _ = waitUntilClosed(by: deadline + 500_000_000)
    }

    /// As `close`, without waiting for it.
    /// - Parameter deadline: what is left then is lost.
    func beginClosing(by deadline: Instant) {
        orders.withLock { $0.deadline = deadline }
        ring()
    }

    /// Waits for the end of the thread.
    ///
    /// - Parameter limit: a write to a regular file can hang in the kernel; the process's end must not hang with it.
    /// - Returns: whether the thread has ended.
    func waitUntilClosed(by limit: Instant) -> Bool {
        while !finished.load(ordering: .acquiring) && Clock.now() < limit { usleep(1000) }
        guard finished.load(ordering: .acquiring) else { return false }
        thread.withLock { $0 }?.join()
        return true
    }

    private func ring() {
        asleep.store(false, ordering: .relaxed)
        bell.ring()
    }

    private func run() {
        var pump = LogPump(rings: rings, lost: lost)
        while true {
            pump.look()
            let deadline = obey(&pump)
            let progress = pump.pump()
            if let deadline, (progress == .idle && pump.isDone) || Clock.now() >= deadline { break }
            switch progress {
            case .idle: sleep(pump)
            // Lines gather for a moment, so that one write takes many.
            case .worked: if deadline == nil { wait(milliseconds: 5) }
            case .blocked(let file): wait(milliseconds: 100, for: file)
            }
        }
        finished.store(true, ordering: .releasing)
    }

    /// Takes new orders; returns the deadline once the writer is to end.
    private func obey(_ pump: inout LogPump) -> Instant? {
        let orders = self.orders.withLock { orders in
            defer { orders.reopen = false }
            return orders
        }
        var destination = orders.destination
        if orders.reopen, let path = orders.destination?.path, let fresh = try? LogDestination(path: path) {
            destination = fresh
            self.orders.withLock { if $0.destination === orders.destination { $0.destination = fresh } }
        }
        pump.use(destination)
        return orders.deadline
    }

    /// Until the bell, or a moment: the flag and the rings are not ordered with each other, and a wake-up may be
    /// missed.
    private func sleep(_ pump: LogPump) {
        asleep.store(true, ordering: .sequentiallyConsistent)
        if pump.isDone { wait(milliseconds: 200) }
        asleep.store(false, ordering: .relaxed)
    }

    private func wait(milliseconds: Int32, for file: Int32 = -1) {
        var waits = [
            pollfd(fd: bell.file, events: Int16(POLLIN), revents: 0),
            pollfd(fd: file, events: Int16(POLLOUT), revents: 0),
        ]
        poll(&waits, 2, milliseconds)
        if waits[0].revents != 0 { bell.answer() }
    }
}
