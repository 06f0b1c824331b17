import Glibc
import Synchronization

/// The admin listener: HTTP/1.1 on a thread of its own, for operators and their monitoring.
///
/// Made in two steps, so that a reload can find out whether the address is free before anything is switched: `init`
/// binds, `start` serves.
final class AdminServer: Sendable {
    struct Limits: Sendable {
        /// Beyond these, the connection that has waited longest for its client makes room.
        var connections = 64
        var timeouts = AdminConnection.Timeouts()
    }

    private static let patience: UInt64 = 1_000_000_000

    /// The address that was bound; port 0 has become a real one.
    let address: SocketAddress
    /// The listening socket, for a process that takes over.
    let listener: Int32
    private let endpoints: AdminEndpoints
    private let limits: Limits
    private let bell: Waker
    private let stopping = Atomic<Bool>(false)
    private let thread = Locked<OSThread?>(nil)

    /// Binds the address.
    ///
    /// - Throws: `IOFailure` when the address cannot be had, `SystemError` when the system has no descriptors.
    /// - Parameter inherited: a socket that listens on the address already; the server closes it.
    init(
        address: SocketAddress, inherited: Int32? = nil, endpoints: AdminEndpoints, limits: Limits = Limits()
    ) throws {
        bell = try Waker()
        listener = try inherited ?? Socket.listen(on: address, backlog: 128)
        self.address = Socket.localAddress(listener) ?? address
        self.endpoints = endpoints
        self.limits = limits
    }

    deinit { Socket.close(listener) }

    /// Begins to serve, once.
    func start() throws(SystemError) {
        let thread = try OSThread.start(name: "admin", stackSize: 512 << 10) { [self] in run() }
        self.thread.withLock { $0 = thread }
    }

    /// Closes all connections and ends the thread. Not to be called on the admin thread.
    ///
    /// - Parameter deadline: until when to wait for that; by default a second. A thread that hangs, since it reads what other
    ///   threads write, does not hold up the caller.
    /// - Returns: whether the thread has ended.
    @discardableResult
    func stop(by deadline: Instant? = nil) -> Bool {
        stopping.store(true, ordering: .relaxed)
        bell.ring()
        return thread.withLock { $0 }?.join(until: deadline ?? Clock.now() &+ AdminServer.patience) ?? true
    }

    private func run() {
        var connections: [AdminConnection] = []
        // Until then no connection is accepted: the process is out of descriptors.
        var acceptAgain: Int64 = 0
        while !stopping.load(ordering: .relaxed) {
            let before = AdminServer.now()
            var waits = [
                pollfd(fd: bell.file, events: Int16(POLLIN), revents: 0),
                pollfd(fd: before >= acceptAgain ? listener : -1, events: Int16(POLLIN), revents: 0),
            ]
            waits += connections.map { pollfd(fd: $0.file, events: $0.events, revents: 0) }
            var wake = min(connections.map(\.deadline).min() ?? .max, before + 60_000)
            if acceptAgain > before { wake = min(wake, acceptAgain) }
            poll(&waits, nfds_t(waits.count), Int32(max(0, wake - before)))
            if waits[0].revents != 0 { bell.answer() }

            let now = AdminServer.now()
            connections = zip(connections, waits.dropFirst(2)).filter { connection, wait in
                if wait.revents != 0 { return connection.ready(now: now) }
                return connection.deadline > now || connection.expired(now: now)
            }.map(\.0)
            if waits[1].revents != 0 && !accept(into: &connections, now) { acceptAgain = now + 100 }
        }
    }

    /// Takes every waiting connection; `false` when the process has no descriptor left.
    private func accept(into connections: inout [AdminConnection], _ now: Int64) -> Bool {
        while true {
            do {
                guard let (file, _) = try Socket.accept(listener) else { return true }
                if connections.count >= limits.connections,
                    let oldest = connections.indices.min(by: {
                        connections[$0].waitingSince < connections[$1].waitingSince
                    })
                {
                    connections.remove(at: oldest)
                }
                connections.append(
                    AdminConnection(file: file, endpoints: endpoints, timeouts: limits.timeouts, now: now))
            } catch {
                return false
            }
        }
    }

    private static func now() -> Int64 { Int64(Clock.now() / 1_000_000) }
}
