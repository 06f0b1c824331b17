/// A connection to an endpoint, shared by the streams of many clients.
final class UpstreamConnection: Connection {
    /// Octets that one response may have under way, once its client has taken some and `limits.response_buffer` has room.
    static let streamWindow: Int32 = 256 * 1024
    /// The connection's window is refilled on receipt, so it only bounds what is on the wire.
    static let connectionWindow: Int32 = 4 * 1024 * 1024
    /// Our own bound on streams per connection, for upstreams that allow any number.
    private static let streamLimit = 1000
    /// Octets: a server that takes fewer takes hardly any request.
    private static let leastHeadLimit = 1024

    private static let maxHeaderBytes = 1 << 20

    private let loop: EventLoop
    let endpoint: Endpoint
    /// No new streams: the upstream said GOAWAY, the endpoint was removed, or stream ids run out.
    private(set) var isRetired = false
    /// The server's settings have come.
    private(set) var isConfirmed = false
    /// When the last stream ended, or when the connection began.
    private var idleSince: Instant
    /// `nil`: the connection has no schedule.
    private var manager: ConnectionManager?
    /// Set while large heads wait for the server's settings.
    private var settingsTimer: OwnedTimer?
    /// The last limit that was told; see `tellSmallLimit`.
    private var toldLimit = Int.max

    init(endpoint: Endpoint, transport: Transport) {
        self.endpoint = endpoint
        let services = endpoint.services
        idleSince = services.loop.now
        loop = services.loop
        super.init(
            ConnectionIO(
                loop: services.loop, shared: services.shared, transport: transport,
                settings: EngineSettings(
                    side: .client, maxHeaderBytes: UpstreamConnection.maxHeaderBytes,
                    streamWindow: ConnectionAccounts.firstWindow, largestStreamWindow: UpstreamConnection.streamWindow,
                    connectionWindow: UpstreamConnection.connectionWindow)))
    }

    @inline(__always) var hasRoom: Bool {
        !isRetired && !isClosed && io.streams.count < min(engine.peerStreamLimit, UpstreamConnection.streamLimit)
    }

    func begin() {
        io.begin()
        guard !isClosed, endpoint.lifetime.schedule != ConnectionSchedule.Settings() else { return }
        let manager = ConnectionManager(endpoint.lifetime.schedule, of: self, loop: loop)
        self.manager = manager
        manager.look()
    }

    /// Takes no new streams and ends with its last one.
    func retire() {
        guard !isRetired else { return }
        isRetired = true
        endpoint.connectionRetired(self)
        if io.streams.count == 0 { engine.refuseStreams() }
    }

    /// What became of a request that was to be sent.
    enum Opening {
        case opened
        /// The connection takes no more streams after all, or the upstream no more requests: `Upstream.assign` says why.
        case noRoom
        /// The head is large, and the server has not said what it takes: `awaitSettings`.
        case awaitsSettings
        /// The server does not take such a head.
        case headTooLarge(HeadSize)
    }

    /// Sends a request on a stream whose delegate and owner are set.
    func open(
        _ stream: Stream, _ headers: HeaderList, hasBody: Bool
    ) -> Opening {
        guard endpoint.admitStream() else { return .noRoom }
        let submission = engine.submitRequest(stream, headers, hasBody: hasBody)
        guard case .sent = submission else { return notOpened(submission) }
        endpoint.streamOpened()
        return .opened
    }

    private func notOpened(_ submission: HeadSubmission) -> Opening {
        endpoint.streamRefused()
        switch submission {
        case .awaitsSettings: return .awaitsSettings
        case .tooLarge(let size):
            // A server that takes hardly a request is of as little use as one that does not answer.
            if size.limit < UpstreamConnection.leastHeadLimit { endpoint.observed(.noResponse) }
            return .headTooLarge(size)
        case .sent, .noStream:
            retire()
            return .noRoom
        }
    }

    /// Has a stream wait until the server has said how large a head may be; no longer than for a connection. Streams with
    /// small heads go past it.
    /// - Returns: why it cannot wait; `nil`: it does, and `connectionReady` or `connectionFailed` follows.
    func awaitSettings(_ pendingStream: PendingStream) -> String? {
        if let overflow = endpoint.awaitSettings(of: self, pendingStream) { return overflow }
        guard settingsTimer == nil else { return nil }
        // A server that says nothing for so long is not asked for more: those that wait look elsewhere.
        let timer = OwnedTimer(loop) { [weak self] in self?.retire() }
        timer.set(after: endpoint.connectTimeout)
        settingsTimer = timer
        return nil
    }

    override func peerIsLeaving() { retire() }

    override func abused(_ kind: Abuse) { endpoint.abused(kind) }

    override func peerIsReady() {
        tellSmallLimit()
        if !isConfirmed {
            isConfirmed = true
            settingsTimer = nil
            endpoint.connectionConfirmed()
            endpoint.settingsArrived(self)
        }
        endpoint.serveWaiting()
    }

    /// Hardly a request fits: somebody has to know why they all fail.
    private func tellSmallLimit() {
        let limit = engine.peerHeadLimit
        guard limit < UpstreamConnection.leastHeadLimit, limit != toldLimit else { return }
        toldLimit = limit
        endpoint.announcedHeadLimit(limit)
    }

    override func streamEnded() {
        endpoint.streamEnded()
        if io.streams.count == 0 { idleSince = loop.now }
        if isRetired && io.streams.count == 0 { engine.refuseStreams() }
    }

    override func roomIsThere() { endpoint.roomIsThere() }

    override func closed(_ reason: CloseReason) {
        settingsTimer = nil
        for _ in 0..<io.streams.count { endpoint.streamEnded() }
        endpoint.connectionClosed(self, reason)
    }
}

extension UpstreamConnection: ManagedConnection {
    var scheduleView: ConnectionSchedule.View? {
        guard !isClosed else { return nil }
        return ConnectionSchedule.View(
            now: loop.now, isEstablished: true, heardAt: io.state.heardAt,
            idleSince: io.streams.count == 0 ? idleSince : nil)
    }

    func perform(_ action: ConnectionSchedule.Action) {
        switch action {
        case .ping: engine.ping()
        case .drain: retire()
        // Streams may go on as long as they like.
        case .notice, .endDrain, .endStreams: break
        case .close(let reason): close(.failed(reason.text))
        }
    }
}
