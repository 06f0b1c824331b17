/// Looks after a connection on which something waits for the peer. Made when that happens, and gone when nothing does any
/// more: an idle connection pays nothing.
final class ConnectionStallDetector: TimedObject {
    /// How long a stream may be without a window before it counts as stalled.
    private static let patience: UInt64 = 2_000_000_000
    /// Between two looks at something that should not last.
    static let soon: UInt64 = 500_000_000

    private weak var connection: ConnectionIO?
    private var due = Instant.max

    init(_ connection: ConnectionIO, loop: EventLoop) {
        self.connection = connection
        super.init(loop)
    }

    /// Looks after `time` at the latest.
    func look(within time: UInt64) {
        let wanted = loop.now &+ time
        guard wanted < due else { return }
        due = wanted
        set(after: time)
    }

    override func timeIsUp() {
        due = Instant.max
        guard let connection, !connection.isClosed else { return }
        let limits = connection.state.limits
        let state = connection.state
        let now = loop.now
        state.now = now
        if isOver(state.incompleteSince, limits.headers, now) { return connection.engine.cutOff(.slowHeaders) }
        if isOver(state.blockedSince, limits.output, now) { return connection.engine.cutOff(.unreadOutput) }
        if limits.body > 0 { endLateRequests(connection, now) }
        let isStalled = limits.responses > 0 && endStalledStreams(connection, now)
        guard !connection.isClosed else { return }
        let windowIsHeld = connection.engine.reviewHeldBodies()
        if isStalled || windowIsHeld || state.incompleteSince != 0 || state.blockedSince != 0 {
            look(within: ConnectionStallDetector.soon)
        } else if limits.body > 0, connection.streams.count > 0 {
            look(within: limits.bodyInterval)
        } else {
            connection.endWatch()
        }
    }

    private func isOver(_ since: Instant, _ limit: UInt64, _ now: Instant) -> Bool {
        since != 0 && limit > 0 && now &- since >= limit
    }

    private func endLateRequests(_ connection: ConnectionIO, _ now: Instant) {
        let limit = connection.state.limits.body
        connection.forEachStream { stream in
            let state = stream.state
            guard !state.peerEnded, state.sending == .head || state.sending == .ended, !state.isReset else { return }
            // What the window has lost and got back changes with each DATA.
            let mark = state.receiveWindow &- state.consumed &* 3
            guard state.quietSince != 0, state.mark == mark else {
                stream.state.mark = mark
                return stream.state.quietSince = now
            }
            guard now &- state.quietSince >= limit else { return }
            stream.state.quietSince = 0
            let isEnded = stream.report { $0.requestIsLate($1, after: limit) } ?? false
            if isEnded { connection.abused(.slowBody) }
        }
    }

    /// Ends the streams that have been without a window for longest, until what is held for the others is within the limit.
    /// - Returns: some stream waits for a window.
    private func endStalledStreams(_ connection: ConnectionIO, _ now: Instant) -> Bool {
        let limit = connection.state.limits.responses
        let blocked = connection.state.blockedSince
        var held = 0
        var isStalled = blocked != 0
        connection.inspectStreams { stream in
            if stream.state.stalledSince != 0 { isStalled = true }
            held += stream.report { $0.heldResponse($1).queued } ?? 0
        }
        guard held > limit else { return isStalled }
        var candidates: [(since: Instant, id: Int32)] = []
        connection.inspectStreams { stream in
            let state = stream.state
            let since = state.stalledSince != 0 ? state.stalledSince : blocked
            if since != 0, !state.isReset, now &- since >= ConnectionStallDetector.patience {
                candidates.append((since, stream.id))
            }
        }
        for (_, id) in candidates.sorted(by: { $0.since < $1.since }) where held > limit {
            guard let stream = connection.streams[id] else { continue }
            held -= stream.report { $0.heldResponse($1).queued } ?? 0
            connection.abused(.stalledResponse)
            _ = stream.report { $0.responseIsStalled($1) }
        }
        return isStalled
    }
}
