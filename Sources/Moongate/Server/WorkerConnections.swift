/// The clients' connections of one worker, and how they end: by themselves, or in the two steps of a drain.
final class WorkerConnections {
    private var open: [ObjectIdentifier: DownstreamConnection] = [:]
    /// Those that have nothing more to say.
    let lingering: LingeringConnections
    private var isEnding = false
    /// Called once, when the last connection has ended.
    private var whenEmpty: (() -> Void)?

    init(lingering: LingeringConnections) { self.lingering = lingering }

    func insert(_ connection: DownstreamConnection) {
        open[ObjectIdentifier(connection)] = connection
        if isEnding { connection.drain() }
    }

    func remove(_ connection: DownstreamConnection) {
        open[ObjectIdentifier(connection)] = nil
        reportIfEmpty()
    }

    /// Ends the connections of listeners that are gone, once their streams are done.
    func drain(where isGone: (DownstreamConnection) -> Bool) {
        for connection in open.values where isGone(connection) { connection.drain() }
    }

    /// Ends all connections, those that are still to come included.
    func drainAll(_ whenEmpty: @escaping () -> Void) {
        isEnding = true
        self.whenEmpty = whenEmpty
        for connection in open.values { connection.drain() }
        reportIfEmpty()
    }

    func contains(where isWanted: (DownstreamConnection) -> Bool) -> Bool { open.values.contains(where: isWanted) }

    /// Calls `body` for every open connection.
    func forEach(_ body: (DownstreamConnection) -> Void) { for connection in open.values { body(connection) } }

    /// A socket that was lingering is closed.
    func lingeringEnded() { reportIfEmpty() }

    private func reportIfEmpty() {
        guard open.isEmpty, lingering.isEmpty, let report = whenEmpty else { return }
        whenEmpty = nil
        report()
    }
}
