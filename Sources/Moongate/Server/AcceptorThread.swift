import Logging
import MoongateConfig

/// The thread that accepts for all listeners, as the control thread sees it.
final class AcceptorThread: Sendable {
    private let table: LoopBound<AcceptorTable>
    private let mailbox: Mailbox
    private let thread: OSThread

    /// - Throws: when the system has no descriptors or threads left.
    /// - Parameters:
    ///   - overload: what all threads know of the process's load.
    ///   - copies: what requests can do without, and `dropCopies` ends.
    ///   - log: hears of changes of it.
    ///   - shed: ends streams that hold about so many bytes in all.
    init(
        distributor: ConnectionDistributor, limiter: ConnectionLimiter, overload: OverloadState, copies: MemoryBudget,
        log: Logger, dropCopies: @escaping @Sendable () -> Void, shed: @escaping @Sendable (UInt64) -> Void
    ) throws {
        let loop = try EventLoop()
        let monitor = OverloadMonitor(
            loop: loop, state: overload, copies: copies, log: log, dropCopies: dropCopies, shed: shed)
        let table = AcceptorTable(
            loop: loop, distributor: distributor, limiter: limiter, overload: overload, monitor: monitor)
        self.table = LoopBound(table)
        mailbox = table.loop.mailbox
        let handover = Handover(table)
        thread = try OSThread.start(name: "acceptor") {
            guard let table = handover.take() else { return }
            table.loop.run()
            withExtendedLifetime(table) {}
        }
    }

    /// Accepts on `socket` from now on; on a socket that is known, with these settings from now on.
    func accept(on socket: ListeningSocket, _ settings: ListenerSettings) {
        post { $0.accept(on: socket, settings) }
    }

    /// Watches memory and descriptors by these marks from now on.
    func use(_ overload: OverloadConfig) { post { $0.monitor.use(overload) } }

    /// Closes the socket.
    func stop(_ socket: ListeningSocket) { post { $0.stop(socket) } }

    /// Closes all sockets.
    ///
    /// - Parameters:
    ///   - takeWaiting: accepts the clients first that wait in the kernel's queues: no other process does.
    ///   - then: called on the acceptor's thread when nothing is accepted any more and each worker has been handed what was.
    ///     Work that it posts to a worker comes behind the last connection.
    func stopAll(takeWaiting: Bool, then: @escaping @Sendable () -> Void) {
        post { table in
            table.stopAll(takeWaiting: takeWaiting)
            then()
        }
    }

    /// Has the thread end; sockets that are still accepted on are closed.
    func end() {
        post { table in
            table.stopAll(takeWaiting: false)
            table.loop.stop()
        }
    }

    /// Whether the thread has ended, at the latest at `deadline`.
    func join(until deadline: Instant) -> Bool { thread.join(until: deadline) }

    private func post(_ work: @escaping @Sendable (AcceptorTable) -> Void) {
        let table = table
        mailbox.post { if let table = table.value { work(table) } }
    }
}

/// A bound socket. Whoever binds it gives it to the acceptor thread or closes it.
struct ListeningSocket: Sendable, Hashable {
    let descriptor: Int32
    /// With the real port where 0 was asked for.
    let address: SocketAddress
}

/// The acceptors; lives on the acceptor thread.
private final class AcceptorTable {
    let loop: EventLoop
    private let distributor: ConnectionDistributor
    private let limiter: ConnectionLimiter
    private let overload: OverloadState
    let monitor: OverloadMonitor
    private var acceptors: [ListeningSocket: Acceptor] = [:]

    init(
        loop: EventLoop, distributor: ConnectionDistributor, limiter: ConnectionLimiter, overload: OverloadState,
        monitor: OverloadMonitor
    ) {
        self.limiter = limiter
        self.overload = overload
        self.monitor = monitor
        self.loop = loop
        self.distributor = distributor
    }

    func accept(on socket: ListeningSocket, _ settings: ListenerSettings) {
        if let acceptor = acceptors[socket] { return acceptor.use(settings) }
        let acceptor = Acceptor(
            loop: loop, socket: socket.descriptor, local: socket.address, distributor, limiter, overload,
            settings)
        acceptors[socket] = acceptor
        acceptor.start()
    }

    func stop(_ socket: ListeningSocket) { acceptors.removeValue(forKey: socket)?.stop() }

    func stopAll(takeWaiting: Bool) {
        for acceptor in acceptors.values {
            if takeWaiting { acceptor.finish() } else { acceptor.stop() }
        }
        acceptors.removeAll()
    }
}
