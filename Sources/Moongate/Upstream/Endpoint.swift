/// One address of an upstream, with this worker's connections to it and what is known of its health.
///
/// A connection is made when the first stream wants one; more only when those there are have no room. After a
/// failure the endpoint is tried again on its own, with growing pauses, and takes no streams until that succeeds.
final class Endpoint {
    /// Connections per endpoint and worker; streams beyond what they hold wait.
    static let connectionLimit = 64

    let services: UpstreamServices
    let address: SocketAddress
    /// `10.0.0.1:50051`
    let name: String
    /// `name` for logs, for the life of the endpoint.
    let nameBytes: Bytes
    let connectTimeout: UInt64
    /// TLS with this endpoint, for connections to come; `nil`: cleartext.
    var tls: TLSPeer?
    let lifetime: ConnectionLifetime
    /// What the configuration calls it.
    let host: String
    /// The endpoint's host as the configuration names it, in the form of `:authority`, for the life of the endpoint.
    let authority: Bytes
    /// Stands for the address in sticky choices, the same in every process.
    let identity: UInt64

    /// What all workers know of it.
    let state: SharedEndpoint
    /// Streams on all connections of this worker.
    private let streams: Counter
    /// 1 while the last attempt to connect has failed.
    private let failing: Counter
    /// `state` does not keep it from being used, or too few endpoints are left to mind.
    var isAvailable = true
    /// A connection has failed since one was good for something.
    private var hasFailed = false
    /// When a connection was good again after one had failed.
    private(set) var recoveredAt: Instant = 0
    /// When it began to warm up; 0: it has its full share.
    var warmsSince: Instant = 0
    /// What counts against it; `nil`: nothing.
    var watch: OutlierWatch?
    /// Counters of the upstream that the endpoint belongs to.
    let cells: UpstreamCells
    /// Keeps `cells` and `requestLimit`: connections of an upstream that is gone end after it.
    private let shared: SharedUpstream
    /// Counts the requests of all workers; `nil`: nobody does.
    private let requestLimit: Unmanaged<SharedLimit>?

    private var connections: [UpstreamConnection] = []
    private var connector: Connector?
    /// An attempt to connect is among the connections of the process.
    private var isConnectCounted = false
    private var waiting: PendingStreamQueue
    /// Those that wait for the first settings of a connection.
    private var unsettled = UnsettledStreams()
    private var backoff = Backoff()
    private var retryTimer: OwnedTimer?
    private(set) var isRemoved = false
    /// Why the last attempt to connect failed; `nil` while the endpoint counts as usable.
    private(set) var failure: String?

    init(
        services: UpstreamServices, state: SharedEndpoint, connectTimeout: UInt64, tls: TLSPeer?,
        shared: SharedUpstream, worker: Int, requestLimit: Unmanaged<SharedLimit>?, lifetime: ConnectionLifetime,
        host: String
    ) {
        self.services = services
        self.state = state
        address = state.address
        streams = state.streams(worker: worker)
        failing = state.failing(worker: worker)
        self.connectTimeout = connectTimeout
        self.tls = tls
        self.lifetime = lifetime
        self.host = host
        authority = Bytes.allocated(host.contains(":") ? "[\(host)]" : host)
        self.shared = shared
        waiting = PendingStreamQueue(permits: shared.pending)
        self.requestLimit = requestLimit
        cells = UpstreamCells(row: shared.metrics.block.row(worker))
        name = state.name
        nameBytes = Bytes.allocated(name)
        identity = Endpoint.identity(of: nameBytes)
    }

    deinit {
        nameBytes.base.deallocate()
        authority.base.deallocate()
    }

    /// FNV-1a with 64 bits.
    private static func identity(of name: Bytes) -> UInt64 {
        name.buffer.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    var isUsable: Bool { isAvailable && failure == nil && !isRemoved }

    /// Whether all is well with it; without a check that has ended, nothing is known against it.
    var isHealthy: Bool { failure == nil && !isRemoved && state.healthFlags.isSubset(of: .unchecked) }

    var activeStreams: Int { Int(truncatingIfNeeded: streams.value) }

    /// The measure of least request: streams under way, and those that wait for a connection or for room on one.
    var load: Int { activeStreams + waiting.count + unsettled.count }

    /// Finds room for a stream, or lets it wait.
    @inline(__always) func assign(_ pendingStream: PendingStream) -> Upstream.Assignment {
        for connection in connections where connection.hasRoom { return .connection(connection) }
        return wait(pendingStream)
    }

    private func wait(_ pendingStream: PendingStream) -> Upstream.Assignment {
        guard waiting.append(pendingStream) else {
            cells.overflows(.pending).add()
            return .overflow(shared.overflow(.pending))
        }
        if connectIfNeeded() { return .waiting(self) }
        waiting.remove(pendingStream.owner)
        return .overflow(shared.overflow(.connections))
    }

    /// A stream that waits is gone.
    func forget(_ owner: StreamOwner) {
        waiting.remove(owner)
        if unsettled.remove(owner) { shared.pending.end() }
    }

    /// The endpoint left the configuration or the DNS answer: streams finish, new ones do not come.
    func remove() {
        guard !isRemoved else { return }
        isRemoved = true
        failing.set(0)
        shared.leave(state)
        retryTimer = nil
        connector?.cancel()
        connectEnded()
        for connection in connections { connection.retire() }
        failWaiting("upstream \(shared.name): the endpoint was removed")
    }

    // MARK: Connecting

    /// Makes a connection unless one is being made.
    /// - Returns: false when there is none to wait for: the process has no connection left for this endpoint.
    @discardableResult private func connectIfNeeded() -> Bool {
        // Counted without a connector: the attempt has failed, and is about to say so.
        guard connector == nil, !isConnectCounted, !isRemoved, connections.count < Endpoint.connectionLimit else {
            return true
        }
        guard shared.connections.tryBegin() else {
            cells.overflows(.connections).add()
            return !connections.isEmpty
        }
        isConnectCounted = true
        do {
            connector = try Connector(self)
        } catch {
            // Later, so that whoever asks for a connection is never told of its failure before the call returns.
            let trouble = ConnectTrouble(error.description)
            later { $0.connectFailed(trouble) }
        }
        return true
    }

    private func later(_ action: @escaping (Endpoint) -> Void) {
        let timer = OwnedTimer(services.loop) { [weak self] in
            if let self { action(self) }
        }
        timer.set(after: 0)
        retryTimer = timer
    }

    /// The attempt to connect has not led to a connection.
    private func connectEnded() {
        connector = nil
        guard isConnectCounted else { return }
        isConnectCounted = false
        shared.connections.end()
    }

    func connected(_ transport: Transport) {
        connector = nil
        // The connection is counted in place of the attempt.
        isConnectCounted = false
        failure = nil
        failing.set(0)
        let connection = UpstreamConnection(endpoint: self, transport: transport)
        connections.append(connection)
        cells.connects.add()
        cells.openConnections.add()
        connection.begin()
        serveWaiting()
    }

    /// The server has spoken HTTP/2. That it took the connection says little: one in trouble, or one that refuses our
    /// certificate, which with TLS 1.3 happens only then, closes it at once.
    func connectionConfirmed() {
        backoff.reset()
        guard hasFailed else { return }
        hasFailed = false
        recoveredAt = services.loop.now
        shared.healthChanged()
    }

    func connectFailed(_ trouble: ConnectTrouble) {
        connectEnded()
        noteFailure(trouble)
    }

    private func noteFailure(_ trouble: ConnectTrouble) {
        cells.connectFailures.add()
        observed(.noResponse)
        hasFailed = true
        if connections.isEmpty && connector == nil {
            let text = "cannot connect: \(trouble.told)"
            failure = text
            failing.set(1)
            let detail = "cannot connect to \(name): \(trouble.detail)"
            state.note { $0.connectFailure = detail }
            scheduleRetry()
            failWaiting("upstream \(shared.name): \(text)")
        }
    }

    private func scheduleRetry() {
        let timer = OwnedTimer(services.loop) { [weak self] in
            guard let self, !connectIfNeeded() else { return }
            scheduleRetry()
        }
        retryTimer = timer
        timer.set(after: backoff.next(random: UInt64.random(in: 0...UInt64.max)))
    }

    // MARK: What connections report

    func connectionRetired(_ connection: UpstreamConnection) {
        failUnsettled(connection)
        if !waiting.isEmpty { connectOrGiveUp() }
    }

    func connectionClosed(_ connection: UpstreamConnection, _ reason: CloseReason) {
        defer { failUnsettled(connection) }
        connections.removeAll { $0 === connection }
        cells.openConnections.subtract()
        shared.connections.end()
        if !connection.isConfirmed && !isRemoved {
            switch reason {
            case .peerClosed, .failed, .protocolViolation: return noteFailure(ConnectTrouble(reason.text))
            case .complete, .local: break
            }
        }
        if !waiting.isEmpty && connections.isEmpty { connectOrGiveUp() }
    }

    /// Connects for those that wait; where there will be no connection, they hear of it, later.
    private func connectOrGiveUp() {
        guard !connectIfNeeded() else { return }
        later { endpoint in
            guard endpoint.connections.isEmpty, endpoint.connector == nil else { return }
            endpoint.failWaiting(endpoint.shared.overflow(.connections))
        }
    }

    // MARK: Heads that wait for settings

    /// - Returns: why the stream cannot wait; `nil`: it does.
    func awaitSettings(of connection: UpstreamConnection, _ pendingStream: PendingStream) -> String? {
        guard shared.pending.tryBegin() else {
            cells.overflows(.pending).add()
            return shared.overflow(.pending)
        }
        unsettled.append(pendingStream, waitingFor: ObjectIdentifier(connection))
        return nil
    }

    /// The server of `connection` has said what it takes.
    func settingsArrived(_ connection: UpstreamConnection) {
        while let pendingStream = unsettled.next(of: ObjectIdentifier(connection)) {
            shared.pending.end()
            guard !connection.hasRoom else {
                pendingStream.connectionReady(connection)
                continue
            }
            switch assign(pendingStream) {
            case .connection(let other): pendingStream.connectionReady(other)
            case .waiting(let endpoint): pendingStream.waits(endpoint)
            case .resolving: break
            case .unavailable(let reason), .overflow(let reason): pendingStream.connectionFailed(reason)
            }
        }
    }

    /// `connection` takes no streams any more. Those that can be told are those whose settings have not come.
    private func failUnsettled(_ connection: UpstreamConnection) {
        while let pendingStream = unsettled.next(of: ObjectIdentifier(connection)) {
            shared.pending.end()
            pendingStream.connectionFailed("upstream \(shared.name) has not sent SETTINGS")
        }
    }

    /// The server takes so few octets of headers that hardly a request fits.
    func announcedHeadLimit(_ limit: Int) {
        cells.smallHeadLimits.add()
        services.abuses?.noteHeadLimit(
            limit, ["upstream": "\(shared.name)", "endpoint": "\(name)"], now: services.loop.now)
    }

    /// A connection is ended for what the server did.
    func abused(_ kind: Abuse) {
        cells.abuse(kind).add()
        services.abuses?.note(
            kind, ["upstream": "\(shared.name)", "endpoint": "\(name)"], now: services.loop.now)
    }

    // MARK: Streams

    /// How an attempt here ended, for outlier detection. Whoever would have to find it out asks `watch` first.
    func observed(_ outcome: AttemptOutcome) {
        guard let watch else { return }
        switch watch.verdict(outcome) {
        case .success: state.noteSuccess()
        case .error:
            guard state.noteError(limit: watch.consecutiveErrors) else { return }
            shared.suspect(state, .errors(watch.consecutiveErrors))
        case .localError:
            guard state.noteLocalError(limit: watch.consecutiveLocalErrors) else { return }
            shared.suspect(state, .localErrors(watch.consecutiveLocalErrors))
        }
    }

    /// Whether another stream may be opened now; `streamOpened` or `streamRefused` follows a yes.
    @inline(__always) func admitStream() -> Bool {
        guard let requestLimit else { return true }
        return requestLimit._withUnsafeGuaranteedRef { $0.tryBegin() }
    }

    /// The connection takes no stream after all.
    func streamRefused() { requestLimit?._withUnsafeGuaranteedRef { $0.end() } }

    func streamOpened() {
        streams.add()
        cells.openStreams.add()
        cells.requests.add()
    }

    func streamEnded() {
        streams.subtract()
        cells.openStreams.subtract()
        requestLimit?._withUnsafeGuaranteedRef { $0.end() }
    }

    /// A stream has ended, and its delegate knows.
    @inline(__always) func roomIsThere() { if !waiting.isEmpty { serveWaiting() } }

    /// Hands waiting streams to connections that have room.
    func serveWaiting() {
        while !waiting.isEmpty {
            guard let connection = connections.first(where: \.hasRoom) else { return connectOrGiveUp() }
            waiting.pop()?.pendingStream.connectionReady(connection)
        }
    }

    /// Tells all that wait now. One that is told may wait here again, or end others before it is their turn.
    private func failWaiting(_ reason: String) {
        let end = waiting.end
        while let entry = waiting.pop(before: end) { entry.pendingStream.connectionFailed(reason) }
    }
}
