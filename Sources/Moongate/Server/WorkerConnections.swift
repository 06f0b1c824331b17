/// The clients' connections of one worker, and how they end: by themselves, or in the two steps of a drain.
final class WorkerConnections {
    /// How long a client may take to answer the PING behind the first GOAWAY (C4).
    private static let notice: UInt64 = 1_000_000_000

    private let loop: EventLoop
    private var open: [ObjectIdentifier: DownstreamConnection] = [:]
    private var draining: Set<ObjectIdentifier> = []
    private var timer: OwnedTimer?
    private var isEnding = false
    /// Called once, when the last connection has ended.
    private var whenEmpty: (() -> Void)?

    init(loop: EventLoop) {
        self.loop = loop
        timer = OwnedTimer(loop) { [weak self] in self?.noticeIsOver() }
    }

    func insert(_ connection: DownstreamConnection) {
        open[ObjectIdentifier(connection)] = connection
        if isEnding { beginDrain(of: connection) }
    }

    func remove(_ connection: DownstreamConnection) {
        open[ObjectIdentifier(connection)] = nil
        draining.remove(ObjectIdentifier(connection))
        reportIfEmpty()
    }

    /// Ends the connections of listeners that are gone, once their streams are done.
    func drain(where isGone: (DownstreamConnection) -> Bool) {
        for connection in open.values where isGone(connection) { beginDrain(of: connection) }
    }

    /// Ends all connections, those that are still to come included.
    func drainAll(_ whenEmpty: @escaping () -> Void) {
        isEnding = true
        self.whenEmpty = whenEmpty
        for connection in open.values { beginDrain(of: connection) }
        reportIfEmpty()
    }

    /// Calls `body` for every open connection.
    func forEach(_ body: (DownstreamConnection) -> Void) { for connection in open.values { body(connection) } }

    private func beginDrain(of connection: DownstreamConnection) {
        guard draining.insert(ObjectIdentifier(connection)).inserted else { return }
        connection.beginDrain()
        timer?.set(after: WorkerConnections.notice)
    }

    private func noticeIsOver() {
        for identifier in draining { open[identifier]?.endDrain() }
    }

    private func reportIfEmpty() {
        guard open.isEmpty, let report = whenEmpty else { return }
        whenEmpty = nil
        report()
    }
}
