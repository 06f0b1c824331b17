/// A connection from a client.
final class DownstreamConnection: Connection {
    /// Bytes that one stream of a request may have under way: its window.
    static let streamWindow: Int32 = 256 * 1024
    /// The connection's window is refilled on receipt, so it only bounds what is on the wire.
    static let connectionWindow: Int32 = 1024 * 1024

    /// The PING behind the first GOAWAY, as no other has it.
    private static let drainPing: UInt32 = 1

    let loop: EventLoop
    private let streamDelegate: ClientStreamDelegate
    /// Facts that stay the same for the connection's life.
    let facts: ConnectionFacts
    /// Counters of the listener, and what keeps their memory.
    private let cells: ListenerCells
    private let metrics: MetricsRegistry.Entry
    private let owner: ConnectionOwner
    private let refusals: RefusalLog
    private let abuses: AbuseLog
    private let pending: PendingHandshakes<DownstreamConnection>
    private let pendingLimit: Int
    private let lingering: LingeringConnections
    /// Its socket has outlived it, and counts as a connection until it is closed.
    private(set) var isLingering = false
    /// Its number there; `nil`: it is there no more.
    private var pendingNumber: UInt64?
    private var isDraining = false
    private var isGoAwaySent = false
    /// Named in GOAWAY.
    private var drainReason: StaticString = ""
    private let permit: ConnectionPermit
    private let schedule: ConnectionSchedule.Settings
    /// Made with the connection's first settings that want one.
    private var manager: ConnectionManager?
    /// When the last stream ended, or when the connection began.
    private var idleSince: Instant

    init(
        services: DownstreamServices, transport: Transport, facts: ConnectionFacts, settings: ListenerSettings,
        permit: ConnectionPermit, metrics: MetricsRegistry.Entry
    ) {
        self.permit = permit
        schedule = settings.schedule
        idleSince = services.loop.now
        self.facts = facts
        self.metrics = metrics
        cells = ListenerCells(row: metrics.block.row(services.worker))
        owner = services.owner
        refusals = services.refusals
        abuses = services.abuses
        pending = services.pending
        pendingLimit = settings.limits.pendingHandshakes
        lingering = services.lingering
        loop = services.loop
        streamDelegate = services.streams
        super.init(
            ConnectionIO(
                loop: services.loop, shared: services.shared, transport: transport,
                settings: EngineSettings(
                    side: .server, maxHeaderBytes: settings.maxHeaderBytes, maxHeaderFields: settings.maxHeaderFields,
                    streamLimit: settings.maxConcurrentStreams, streamWindow: DownstreamConnection.streamWindow,
                    connectionWindow: DownstreamConnection.connectionWindow),
                abuse: settings.abuse, limits: settings.stalls,
                traffic: TrafficCounters(received: cells.bytesIn, sent: cells.bytesOut)))
    }

    func begin() {
        cells.accepted.add()
        cells.openConnections.add()
        io.begin()
        awaitHandshake()
        guard !isClosed, schedule != ConnectionSchedule.Settings() else { return }
        keep()
    }

    private func awaitHandshake() {
        guard !isClosed else { return }
        let place = pending.begin(self, limit: pendingLimit)
        pendingNumber = place.number
        guard let excess = place.excess else { return }
        excess.cells.refused(.pendingHandshakes).add()
        excess.refusals.note(
            RefusalLog.tooManyHandshakes, listener: excess.facts.listenerName, remote: excess.facts.peerText,
            now: loop.now)
        excess.close(.failed(RefusalLog.tooManyHandshakes))
    }

    private func handshakeEnded() {
        guard let number = pendingNumber else { return }
        pendingNumber = nil
        pending.end(number)
    }

    private func keep() {
        let manager = ConnectionManager(schedule, of: self, loop: loop)
        self.manager = manager
        manager.look()
    }

    override func peerIsReady() {
        handshakeEnded()
        manager?.look()
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
            "TLS: \(session?.failureText ?? failure.reason)", listener: facts.listenerName, remote: facts.peerText,
            now: loop.now)
    }

    override func openStream() -> Stream? { streamDelegate.streamOpened(self) }

    override func streamBegan() {
        cells.openStreams.add()
        io.watchBodies()
    }

    override func streamEnded() {
        cells.openStreams.subtract()
        if io.streams.count == 0 { idleSince = loop.now }
    }

    override func drainIsWanted() { beginDrain() }

    override func abused(_ kind: Abuse) {
        cells.abuse(kind).add()
        abuses.note(kind, ["listener": "\(facts.listenerName)", "remote": "\(facts.peerText)"], now: loop.now)
    }

    // MARK: Drain (C4)

    /// Drains the connection; a newcomer that has not called yet has time for its first calls.
    func drain() {
        guard !engine.hasServed, !isDraining, !isClosed else { return beginDrain() }
        if manager == nil { keep() }
        manager?.drainSoon()
    }

    /// Tells the client to open no new streams; those that are under way to us are served.
    /// - Parameter reason: for people at the client's end.
    func beginDrain(_ reason: StaticString = "") {
        guard !isDraining, !isClosed else { return }
        isDraining = true
        drainReason = reason
        engine.announceEnd(reason)
        engine.ping(DownstreamConnection.drainPing)
        if manager == nil { keep() }
        manager?.drainBegan()
    }

    /// The client has had time to see the notice: streams from now on are not served.
    func endDrain() {
        guard isDraining, !isGoAwaySent else { return }
        isGoAwaySent = true
        engine.refuseStreams(drainReason)
    }

    override func pingAcknowledged(_ number: UInt32) { if number == DownstreamConnection.drainPing { endDrain() } }

    override func linger(_ leaving: LeavingTransport) -> Bool {
        isLingering = true
        let (cells, metrics, permit, owner) = (cells, metrics, permit, owner)
        lingering.add(leaving, loop: loop) {
            withExtendedLifetime((metrics, permit)) { cells.openConnections.subtract() }
            owner.lingeringEnded()
        }
        return true
    }

    override func closed(_ reason: CloseReason) {
        handshakeEnded()
        if !isLingering { cells.openConnections.subtract() }
        cells.openStreams.subtract(UInt64(io.streams.count))
        owner.connectionClosed(self)
    }
}

extension DownstreamConnection: ManagedConnection {
    var scheduleView: ConnectionSchedule.View? {
        guard !isClosed else { return nil }
        return ConnectionSchedule.View(
            now: loop.now, isEstablished: engine.peerIsReady, heardAt: io.state.heardAt,
            idleSince: io.streams.count == 0 ? idleSince : nil)
    }

    func perform(_ action: ConnectionSchedule.Action) {
        switch action {
        case .ping: engine.ping()
        case .notice: beginDrain()
        case .drain(let reason):
            cells.expired(reason).add()
            beginDrain(reason.label)
        case .endDrain: endDrain()
        case .endStreams: owner.endStreams(of: self)
        case .close(let reason):
            if reason != .maxAge { cells.expired(reason).add() }
            // Streams that had ended before are whole, as far as they were written.
            close(.failed(reason.text), lingering: reason == .maxAge ? .response : nil)
        }
    }
}

/// What the connections from clients of one worker share.
struct DownstreamServices {
    /// The worker's number.
    let worker: Int
    let loop: EventLoop
    let shared: ConnectionShared
    /// Gets the events of client streams.
    let streams: ClientStreamDelegate
    let owner: ConnectionOwner
    let refusals: RefusalLog
    let abuses: AbuseLog
    let pending: PendingHandshakes<DownstreamConnection>
    let lingering: LingeringConnections
}

/// Opens the streams of clients, and hears of their events.
class ClientStreamDelegate: StreamDelegate {
    /// A client opens a stream.
    /// - Returns: the stream with its delegate and owner set; `nil` to refuse it.
    func streamOpened(_ connection: DownstreamConnection) -> Stream? { nil }
}

/// Who keeps the connections of one worker.
class ConnectionOwner {
    /// The connection is over; where it is lingering, `lingeringEnded` tells when its socket is closed.
    func connectionClosed(_ connection: DownstreamConnection) {}

    /// The socket of a connection that was lingering is closed.
    func lingeringEnded() {}

    /// The streams of a connection that is to end have had their time.
    func endStreams(of connection: DownstreamConnection) {}
}
