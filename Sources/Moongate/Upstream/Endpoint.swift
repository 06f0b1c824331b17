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
    /// Stands for the address in sticky choices, the same in every process.
    let identity: UInt64

    /// Streams on all connections.
    var activeStreams = 0
    /// Counters of the upstream that the endpoint belongs to.
    let cells: UpstreamCells
    /// Keeps the memory of `cells`: connections of an upstream that is gone end after it.
    private let metrics: MetricsRegistry.Entry

    private var connections: [UpstreamConnection] = []
    private var connector: Connector?
    private var waiting: [StreamSeeker] = []
    private var backoff = Backoff()
    private var retryTimer: OwnedTimer?
    private(set) var isRemoved = false
    /// Why the last attempt to connect failed; `nil` while the endpoint counts as usable.
    private(set) var failure: String?

    init(
        services: UpstreamServices, address: SocketAddress, connectTimeout: UInt64, metrics: MetricsRegistry.Entry,
        worker: Int
    ) {
        self.services = services
        self.address = address
        self.connectTimeout = connectTimeout
        self.metrics = metrics
        cells = UpstreamCells(row: metrics.block.row(worker))
        name = address.description
        nameBytes = Bytes.allocated(name)
        identity = Endpoint.identity(of: nameBytes)
    }

    deinit { nameBytes.base.deallocate() }

    /// FNV-1a with 64 bits.
    private static func identity(of name: Bytes) -> UInt64 {
        name.buffer.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    var isUsable: Bool { failure == nil && !isRemoved }

    /// The measure of least request: streams under way, and those that wait for a connection or for room on one.
    var load: Int { activeStreams + waiting.count }

    /// Finds room for a stream; `nil` means that it waits now, and its delegate hears how it went.
    @inline(__always) func assign(_ seeker: StreamSeeker) -> UpstreamConnection? {
        for connection in connections where connection.hasRoom { return connection }
        waiting.append(seeker)
        connectIfNeeded()
        return nil
    }

    /// A stream that waits is gone.
    func forget(_ owner: UnsafeMutableRawPointer) {
        if let index = waiting.firstIndex(where: { $0.owner == owner }) { waiting.remove(at: index) }
    }

    /// The endpoint left the configuration or the DNS answer: streams finish, new ones do not come.
    func remove() {
        isRemoved = true
        retryTimer = nil
        connector?.cancel()
        connector = nil
        for connection in connections { connection.retire() }
        failWaiting("endpoint \(name) was removed")
    }

    // MARK: Connecting

    private func connectIfNeeded() {
        guard connector == nil, !isRemoved, connections.count < Endpoint.connectionLimit else { return }
        do {
            connector = try Connector(self)
        } catch {
            // Later, so that whoever asks for a connection is never told of its failure before the call returns.
            let reason = error.description
            let timer = OwnedTimer(services.loop) { [weak self] in self?.connectFailed(reason) }
            timer.set(after: 0)
            retryTimer = timer
        }
    }

    func connected(_ transport: Transport) {
        connector = nil
        backoff.reset()
        failure = nil
        let connection = UpstreamConnection(endpoint: self, transport: transport)
        connections.append(connection)
        cells.connects.add()
        cells.openConnections.add()
        connection.begin()
        serveWaiting()
    }

    func connectFailed(_ reason: String) {
        connector = nil
        let text = "cannot connect to \(name): \(reason)"
        cells.connectFailures.add()
        if connections.isEmpty {
            failure = text
            scheduleRetry()
            failWaiting(text)
        }
    }

    private func scheduleRetry() {
        let timer = OwnedTimer(services.loop) { [weak self] in
            self?.connectIfNeeded()
        }
        retryTimer = timer
        timer.set(after: backoff.next(random: UInt64.random(in: 0...UInt64.max)))
    }

    // MARK: What connections report

    func connectionRetired(_ connection: UpstreamConnection) {
        if !waiting.isEmpty { connectIfNeeded() }
    }

    func connectionClosed(_ connection: UpstreamConnection, _ reason: CloseReason) {
        connections.removeAll { $0 === connection }
        cells.openConnections.subtract()
        if !waiting.isEmpty && connections.isEmpty { connectIfNeeded() }
    }

    func streamOpened() {
        activeStreams += 1
        cells.openStreams.add()
        cells.requests.add()
    }

    func streamEnded() {
        activeStreams -= 1
        cells.openStreams.subtract()
        if !waiting.isEmpty { serveWaiting() }
    }

    /// Hands waiting streams to connections that have room.
    func serveWaiting() {
        while !waiting.isEmpty {
            guard let connection = connections.first(where: \.hasRoom) else { return connectIfNeeded() }
            waiting.removeFirst().connectionReady(connection)
        }
    }

    private func failWaiting(_ reason: String) {
        let failed = waiting
        waiting = []
        for seeker in failed { seeker.connectionFailed(reason) }
    }
}
