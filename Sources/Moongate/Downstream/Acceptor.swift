import CMoongate
import Synchronization

/// Accepts on one listening socket and hands each connection to the worker with the fewest. Runs on the acceptor's
/// own loop, so that neither a busy worker nor a reload keeps clients waiting.
final class Acceptor: EventHandler {
    /// Pause after the process ran out of descriptors; the clients wait in the kernel's queue.
    private static let exhaustionPause: UInt64 = 100_000_000

    private static let lastConnections = 1024

    private let loop: EventLoop
    private let descriptor: Int32
    private let local: SocketAddress
    private let distributor: ConnectionDistributor
    private let limiter: ConnectionLimiter
    private let overload: OverloadState
    private var rate: AcceptRate?
    private var settings: ListenerSettings
    private var timer: OwnedTimer?
    private var isStopped = false

    /// - Parameter socket: a listening socket, which the acceptor closes in the end.
    init(
        loop: EventLoop, socket: Int32, local: SocketAddress, _ distributor: ConnectionDistributor,
        _ limiter: ConnectionLimiter, _ overload: OverloadState, _ settings: ListenerSettings
    ) {
        self.loop = loop
        descriptor = socket
        self.local = local
        self.settings = settings
        self.distributor = distributor
        self.limiter = limiter
        self.overload = overload
        rate = settings.limits.connectionRate.map { AcceptRate($0, now: loop.now) }
        super.init()
        timer = OwnedTimer(loop) { [weak self] in self?.start() }
    }

    /// Begins to accept, or goes on after a pause.
    func start() {
        guard !isStopped else { return }
        do {
            try loop.add(descriptor, EPOLLIN.rawValue, self)
        } catch {
            timer?.set(after: Acceptor.exhaustionPause)
        }
    }

    /// Connections that are accepted from now on get `settings`.
    func use(_ settings: ListenerSettings) {
        if settings.limits.connectionRate != self.settings.limits.connectionRate {
            rate = settings.limits.connectionRate.map { AcceptRate($0, now: loop.now) }
        }
        self.settings = settings
    }

    /// Closes the socket; the kernel refuses further clients.
    func stop() {
        guard !isStopped else { return }
        isStopped = true
        timer = nil
        loop.remove(descriptor)
        Socket.close(descriptor)
        loop.releaseLater(self)
    }

    /// Takes the clients that wait in the kernel's queue, and closes the socket: they have been told that they are connected.
    func finish() {
        guard !isStopped else { return }
        // Bounded: a flood does not keep the process from its end.
        for _ in 0..<Acceptor.lastConnections {
            guard let (fd, peer) = try? Socket.accept(descriptor) else { break }
            take(fd, peer)
        }
        stop()
    }

    override func ready(_ events: UInt32) {
        // Bounded, so that a flood on one listener leaves the others their turn.
        for _ in 0..<64 where !isStopped {
            if let wait = rate?.wait(now: loop.now) {
                limiter.paused(settings)
                return pause(wait)
            }
            do {
                guard let (fd, peer) = try Socket.accept(descriptor) else { return }
                rate?.took()
                take(fd, peer)
            } catch {
                return pause(Acceptor.exhaustionPause)
            }
        }
    }

    private func take(_ fd: Int32, _ peer: SocketAddress) {
        if overload.isTooHigh(fd) { return refuse(fd, peer, .descriptors) }
        if overload.level >= .refuseConnections { return refuse(fd, peer, .memory) }
        switch limiter.admit(settings, peer) {
        case .permit(let permit):
            distributor.distribute(
                AcceptedConnection(
                    descriptor: fd, remote: peer, local: Socket.localAddress(fd) ?? local, listener: settings,
                    permit: permit))
        case .refused(let limit): refuse(fd, peer, limit)
        }
    }

    private func refuse(_ fd: Int32, _ peer: SocketAddress, _ limit: ConnectionLimit) {
        Socket.close(fd)
        limiter.refused(settings, peer, limit, row: limiter.acceptorRow, at: loop.now)
    }

    /// - Parameter time: in nanoseconds.
    private func pause(_ time: UInt64) {
        loop.remove(descriptor)
        timer?.set(after: time)
    }
}

/// Knows how many connections each worker has, and how to reach it.
final class ConnectionDistributor: Sendable {
    typealias Deliver = @Sendable (_ worker: Int, AcceptedConnection) -> Void

    private let counts: [ConnectionCount]
    private let deliver: Deliver

    init(workers: Int, deliver: @escaping Deliver) {
        counts = (0..<workers).map { _ in ConnectionCount() }
        self.deliver = deliver
    }

    /// gRPC clients hold few, long connections: spreading them by chance leaves workers idle.
    func distribute(_ connection: AcceptedConnection) {
        let worker = fewest { !$0.isPassedOver } ?? fewest { _ in true } ?? 0
        counts[worker].add(1)
        deliver(worker, connection)
    }

    private func fewest(where mayHave: (ConnectionCount) -> Bool) -> Int? {
        var fewest: Int?
        for index in counts.indices where mayHave(counts[index]) {
            if let best = fewest, counts[best].value <= counts[index].value { continue }
            fewest = index
        }
        return fewest
    }

    /// Whether the worker gets new connections only if there is no other one that may have them.
    func passOver(_ isPassedOver: Bool, worker: Int) { counts[worker].isPassedOver = isPassedOver }

    /// Gives connections to others that were distributed to a worker, which has not heard of them.
    func distributeAgain(_ connections: [AcceptedConnection], from worker: Int) {
        for connection in connections {
            counts[worker].add(-1)
            distribute(connection)
        }
    }

    /// A connection of `worker` has ended.
    func connectionEnded(worker: Int) { counts[worker].add(-1) }
}

/// The connections of a worker, which several threads count; off the way of a request.
private final class ConnectionCount: Sendable {
    private let count = Atomic<Int>(0)
    private let passedOver = Atomic<Bool>(false)
    var isPassedOver: Bool {
        get { passedOver.load(ordering: .relaxed) }
        set { passedOver.store(newValue, ordering: .relaxed) }
    }
    var value: Int { count.load(ordering: .relaxed) }
    func add(_ amount: Int) { count.add(amount, ordering: .relaxed) }
}
