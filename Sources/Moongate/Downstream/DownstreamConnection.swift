/// An HTTP/2 connection from a client.
final class DownstreamConnection: HTTP2Connection {
    /// Bytes that one stream of a request may have under way: its window.
    static let streamWindow: Int32 = 256 * 1024
    /// The connection's window is refilled on receipt, so it only bounds what is on the wire.
    static let connectionWindow: Int32 = 1024 * 1024

    /// Facts that stay the same for the connection's life.
    let facts: ConnectionFacts
    /// Counters of the listener, and what keeps their memory.
    private let cells: ListenerCells
    private let metrics: MetricsRegistry.Entry
    private let owner: ConnectionOwner
    private let refusals: RefusalLog
    private let maxConcurrentStreams: Int
    private var resets: ResetBudget
    private var isDraining = false
    private var isGoAwaySent = false

    init(
        services: DownstreamServices, transport: Transport, facts: ConnectionFacts, maxConcurrentStreams: Int,
        maxHeaderBytes: Int, metrics: MetricsRegistry.Entry
    ) {
        self.facts = facts
        self.metrics = metrics
        cells = ListenerCells(row: metrics.block.row(services.worker))
        owner = services.owner
        refusals = services.refusals
        self.maxConcurrentStreams = maxConcurrentStreams
        resets = ResetBudget(now: services.loop.now)
        super.init(
            loop: services.loop, library: services.library, acceptor: services.streams, transport: transport,
            maxHeaderBytes: maxHeaderBytes,
            traffic: TrafficCounters(received: cells.bytesIn, sent: cells.bytesOut))
    }

    func begin() {
        cells.accepted.add()
        cells.openConnections.add()
        begin(
            .server,
            [
                (.maxConcurrentStreams, UInt32(clamping: maxConcurrentStreams)),
                (.initialWindowSize, UInt32(DownstreamConnection.streamWindow)),
                (.maxHeaderListSize, UInt32(clamping: maxHeaderBytes)),
            ], window: DownstreamConnection.connectionWindow)
    }

    override func established(_ session: TLSSession) {
        facts.established(
            ConnectionFacts.TLS(
                version: session.version, cipher: session.cipher ?? "", serverName: session.serverName ?? "",
                details: session.facts), session.serverContext)
    }

    override func handshakeFailed(_ failure: IOFailure, _ session: TLSSession?) {
        cells.handshakeFailures.add()
        switch failure.cause {
        // Who leaves was not refused: balancers look whether the port is open.
        case .closedByPeer, .system: return
        case .tls, .noHTTP2, .serverWithoutHTTP2, .certificate: break
        }
        refusals.note(
            "TLS: \(session?.failureText ?? failure.reason)", listener: facts.listenerName, remote: facts.remoteText,
            now: loop.now)
    }

    override func streamBegan() { cells.openStreams.add() }

    override func streamEnded(_ code: ErrorCode) {
        cells.openStreams.subtract()
        if code == .noError { resets.streamFinished() }
    }

    override func resetReceived() {
        guard !resets.streamReset(now: loop.now) else { return }
        // Rapid reset (CVE-2023-44487): far more streams are begun and dropped than finished.
        submitGoAway(.enhanceYourCalm)
        closeAfterFlush()
    }

    // MARK: Drain (C4)

    /// Tells the client to open no new streams; those that are under way to us are served.
    func beginDrain() {
        guard !isDraining else { return }
        isDraining = true
        submitShutdownNotice()
        submitPing()
    }

    /// The client has had time to see the notice: streams from now on are not served.
    func endDrain() {
        guard isDraining, !isGoAwaySent else { return }
        isGoAwaySent = true
        submitGoAway()
    }

    override func pingAcknowledged() { endDrain() }

    override func connectionClosed(_ reason: CloseReason) {
        cells.openConnections.subtract()
        cells.openStreams.subtract(UInt64(streams.count))
        owner.connectionClosed(self)
    }
}

/// What the connections from clients of one worker share.
struct DownstreamServices {
    /// The worker's number.
    let worker: Int
    let loop: EventLoop
    let library: HTTP2Library
    /// Gets the events of client streams.
    let streams: StreamDelegate
    let owner: ConnectionOwner
    let refusals: RefusalLog
}

/// Who keeps the connections of one worker.
class ConnectionOwner {
    func connectionClosed(_ connection: DownstreamConnection) {}
}
