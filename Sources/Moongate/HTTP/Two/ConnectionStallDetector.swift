/// How long a peer may leave something undone, in nanoseconds, and how much we keep for it meanwhile. 0: no limit.
struct StallLimits: Sendable, Equatable {
    /// From the first octet of a frame, or of a header section in several, to the last one.
    var headers: UInt64 = 10_000_000_000
    /// The kernel takes nothing of what is to be sent.
    var output: UInt64 = 60_000_000_000
    /// No DATA of a request that is not complete, before the response begins or after it has ended.
    var body: UInt64 = 0
    /// Octets of responses that wait for the peer's windows.
    var responses = 0
    /// Octets of requests: of their heads, of what waits for upstreams, and of what policies collect, each.
    var requests = 0

    /// Bodies are looked at eight times in the time that they have.
    var bodyInterval: UInt64 { max(1_000_000, body / 8) }
}

/// Looks after a connection on which something waits for the peer. Made when that happens, and gone when nothing does any
/// more: an idle connection pays nothing.
final class ConnectionStallDetector: TimedObject {
    /// How long a stream may be without a window before it counts as stalled.
    private static let patience: UInt64 = 2_000_000_000
    /// Between two looks at something that should not last.
    static let soon: UInt64 = 500_000_000

    private weak var connection: HTTP2Connection?
    private var due = Instant.max

    init(_ connection: HTTP2Connection, loop: EventLoop) {
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
        let limits = connection.watchLimits
        let core = connection.core
        let now = loop.now
        if isOver(core.pointee.incompleteSince, limits.headers, now) { return connection.cutOff(.slowHeaders) }
        if isOver(core.pointee.blockedSince, limits.output, now) { return connection.cutOff(.unreadOutput) }
        if limits.body > 0 { endLateRequests(connection, now) }
        let isStalled = limits.responses > 0 && endStalledStreams(connection, now)
        guard !connection.isClosed else { return }
        connection.openHeldWindow()
        if isStalled || core.pointee.windowIsHeld || core.pointee.incompleteSince != 0 || core.pointee.blockedSince != 0
        {
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

    private func endLateRequests(_ connection: HTTP2Connection, _ now: Instant) {
        let limit = connection.watchLimits.body
        connection.forEachStream { stream in
            let state = stream.pointee.state
            guard !state.peerEnded, !state.hasBody, !state.endIsWritten, !state.isReset else { return }
            // What the window has lost and got back changes with each DATA.
            let mark = state.receiveWindow &- state.consumed &* 3
            guard state.quietSince != 0, state.mark == mark else {
                stream.pointee.state.mark = mark
                return stream.pointee.state.quietSince = now
            }
            guard now &- state.quietSince >= limit else { return }
            stream.pointee.state.quietSince = 0
            let isEnded = stream.pointee.report { $0.requestIsLate($1, after: limit) } ?? false
            if isEnded { connection.abused(.slowBody) }
        }
    }

    /// Ends the streams that have been without a window for longest, until what is held for the others is within the limit.
    /// - Returns: some stream waits for a window.
    private func endStalledStreams(_ connection: HTTP2Connection, _ now: Instant) -> Bool {
        let limit = connection.watchLimits.responses
        let blocked = connection.core.pointee.blockedSince
        var held = 0
        var isStalled = blocked != 0
        connection.inspectStreams { stream in
            if stream.pointee.state.stalledSince != 0 { isStalled = true }
            held += stream.pointee.report { $0.heldResponse($1).queued } ?? 0
        }
        guard held > limit else { return isStalled }
        var candidates: [(since: Instant, id: Int32)] = []
        connection.inspectStreams { stream in
            let state = stream.pointee.state
            let since = state.stalledSince != 0 ? state.stalledSince : blocked
            if since != 0, !state.isReset, now &- since >= ConnectionStallDetector.patience {
                candidates.append((since, stream.pointee.id))
            }
        }
        for (_, id) in candidates.sorted(by: { $0.since < $1.since }) where held > limit {
            guard let stream = connection.streams[id] else { continue }
            held -= stream.pointee.report { $0.heldResponse($1).queued } ?? 0
            connection.abused(.stalledResponse)
            _ = stream.pointee.report { $0.responseIsStalled($1) }
        }
        return isStalled
    }
}
