import CMoongate
import Glibc

/// The transport of a connection and its output: what all protocols have in common. Reads when the kernel says so and hands the bytes to
/// the engine; what is to be sent waits for the end of the loop's turn and leaves in one write.
///
/// Belongs to its `Connection`, on whose worker's thread it lives.
final class ConnectionIO: EngineHost {
    /// Bytes that one turn reads from one connection before others get their turn.
    private static let readBudget = EventLoop.readBufferSize
    /// The work (`Engine.handled`) that one turn takes of a client: small frames cost more than their bytes say. And of an upstream: what it
    /// sends is the answers to many clients, and the more of them a turn has, the fewer writes.
    private static let clientWork: UInt64 = 1024
    private static let upstreamWork: UInt64 = 4096
    private static let firstRead = 8 * 1024
    private static let leastRead = 4 * 1024

    let loop: EventLoop
    private let shared: ConnectionShared
    private let descriptor: Int32
    private let traffic: TrafficCounters?
    private let workBudget: UInt64
    private var transport: Transport
    /// The one that `engine` names.
    private var speaker: AnyObject?
    private(set) var engine = Engine.none
    /// Owns this object.
    private var role: Unmanaged<Connection>?
    /// Made when something waits for the peer; see `watchSoon`.
    private var stallDetector: ConnectionStallDetector?
    /// The turn in which the connection brought as much as one turn may bring.
    private var spentAt: Instant = 0
    /// Octets that one read takes.
    private var readSize = ConnectionIO.firstRead

    /// - Parameter traffic: counts bytes of the transport, TLS removed.
    init(
        loop: EventLoop, shared: ConnectionShared, transport: Transport, settings: EngineSettings,
        abuse: AbuseLimits = AbuseLimits(), limits: StallLimits = StallLimits(), traffic: TrafficCounters? = nil
    ) {
        self.loop = loop
        self.shared = shared
        self.transport = transport
        self.traffic = traffic
        descriptor = transport.fd
        workBudget = settings.side == .server ? ConnectionIO.clientWork : ConnectionIO.upstreamWork
        let state = ConnectionState(
            isEncrypted: transport.isTLS, awaitsHandshake: transport.needsHandshake, limits: limits, abuse: abuse,
            now: loop.now)
        super.init(state, outputs: shared.outputs)
        let http2 = HTTP2Engine(self, settings, shared.http2)
        speaker = http2
        engine = .http2(.passUnretained(http2))
    }

    /// To be called once, by the connection that owns this object.
    func attach(_ role: Connection) { self.role = .passUnretained(role) }

    /// Calls `body` with the role that the connection plays.
    @discardableResult
    @inline(__always) private func tell<Result>(_ body: (Connection) -> Result) -> Result? {
        role?._withUnsafeGuaranteedRef(body)
    }

    // MARK: Beginning and end

    /// Queues what the protocol begins with and listens for input. On failure the connection closes itself.
    func begin() {
        engine.begin()
        guard let role = role?.takeUnretainedValue() else { return }
        do {
            try loop.add(descriptor, UInt32(EPOLLIN.rawValue), role)
        } catch {
            return close(.failed(error.description))
        }
        needsFlush()
        // What came with the end of the handshake has left the socket, so no event will tell of it.
        if state.phase == .open && transport.hasPendingInput { loop.runAgain(role) }
    }

    override func end(_ reason: CloseReason, lingering limits: LingerSchedule.Limits?) {
        end(reason, lingering: limits, hasFarewell: true)
    }

    /// - Parameter hasFarewell: the output is to go first, as far as the kernel takes it.
    func end(_ reason: CloseReason, lingering limits: LingerSchedule.Limits?, hasFarewell: Bool) {
        guard !isClosed else { return }
        assert(loop.isCurrent, "a connection is used outside of its loop")
        if hasFarewell {
            // Frames whose payload is borrowed would be cut.
            if !state.borrowed.isEmpty { flushBorrowed() }
            if state.phase == .open { _ = sendOutput() }
            // The peer may have left meanwhile.
            guard !isClosed else { return }
        }
        let wasOpen = state.phase == .open
        state.phase = .closed
        loop.remove(descriptor)
        endTransport(wasOpen ? limits : nil)
        tell { role in
            loop.releaseLater(role)
            role.closed(reason)
        }
        engine.connectionClosed(reason)
    }

    private func close(_ reason: CloseReason, lingering limits: LingerSchedule.Limits? = nil) {
        end(reason, lingering: limits, hasFarewell: false)
    }

    private func endTransport(_ limits: LingerSchedule.Limits?) {
        if let limits, engine.hasBegun {
            let leaving = LeavingTransport(transport: transport, rest: state.unsent, limits: limits)
            if tell({ $0.linger(leaving) }) ?? false {
                state.unsent = PendingBytes()
                return
            }
        }
        if transport.session != nil { transport.shutdown() }
        transport.close()
        state.unsent.clear()
    }

    // MARK: Reading

    func ready(_ events: UInt32) {
        guard !isClosed else { return }
        // Where it is not its turn, the kernel tells of it again in the next one.
        state.now = loop.now
        if state.phase == .handshaking && !shared.handshakes.take(now: loop.now) { return }
        if events & UInt32(EPOLLOUT.rawValue) != 0 {
            setAwaitsWritable(false)
            needsFlush()
        }
        if state.phase == .handshaking { return handshake() }
        if events & ~UInt32(EPOLLOUT.rawValue) != 0 { receive() }
    }

    private func handshake() {
        switch transport.handshake() {
        case .finished:
            state.phase = .open
            if let session = transport.session { tell { $0.established(session) } }
            needsFlush()
            receive()
        case .wouldBlockRead:
            break
        case .wouldBlockWrite:
            setAwaitsWritable(true)
        case .failed(let failure):
            tell { $0.handshakeFailed(failure, transport.session) }
            close(.failed(failure.description))
        }
    }

    func again() {
        guard !isClosed else { return }
        state.now = loop.now
        spentAt = 0
        receive()
    }

    private func receive() {
        guard spentAt != loop.now,
            let base = loop.readBuffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        else { return }
        var budget = ConnectionIO.readBudget
        let begun = engine.handled
        while budget > 0, engine.handled &- begun < workBudget {
            let room = UnsafeMutableRawBufferPointer(
                start: base, count: min(readSize, loop.readBuffer.count))
            switch transport.read(into: room) {
            case .bytes(let count):
                traffic?.received.add(UInt64(count))
                state.heardAt = loop.now
                let before = engine.handled
                engine.receive(Bytes(base, count))
                loop.flushBorrowers()
                guard !isClosed else { return }
                budget -= count
                if count < room.count && !transport.hasPendingInput { return }
                fitReads(engine.handled &- before)
            case .wouldBlockRead:
                return
            case .wouldBlockWrite:
                return setAwaitsWritable(true)
            case .closed:
                return close(.peerClosed)
            case .failed(let failure):
                return close(.failed(failure.description))
            }
        }
        // TLS may hold bytes that the kernel does not report.
        spentAt = loop.now
        tell { loop.runAgain($0) }
    }

    /// Makes the next read smaller or larger, by how much work was in one that was full.
    private func fitReads(_ work: UInt64) {
        let size = readSize
        if work > workBudget {
            readSize = max(ConnectionIO.leastRead, size / 2)
        } else if work < workBudget / 4 {
            readSize = min(loop.readBuffer.count, size * 2)
        }
    }

    // MARK: Writing

    override func scheduleFlush() { tell { loop.flushLater($0) } }

    override func flushAfterRead() { tell { loop.flushAfterRead($0) } }

    override func abandonOutput() { transport.abandonOutput() }

    /// Sends what is queued, at the end of a turn.
    func flush() {
        state.isFlushPending = false
        state.now = loop.now
        assert(engine.hasSoundQueues, "the queues of a connection's streams are broken")
        defer { if state.closesAfterFlush { close(.local) } }
        guard state.phase == .open else { return }
        if !state.borrowed.isEmpty { flushBorrowed() }
        giveRoom()
        let mayWrite = !state.awaitsWritable && sendUnsent()
        let hasSent = engine.flush(loop.writeBuffer, mayWrite: mayWrite) && sendOutput()
        if hasSent { engine.outputTaken() }
        guard hasSent, !isClosed, state.unsent.isEmpty else { return }
        engine.outputLeft()
        if engine.isComplete { close(.complete, lingering: .response) }
    }

    /// Writes the output; false when the kernel takes no more of it now.
    private func sendOutput() -> Bool {
        guard !state.output.isEmpty else { return true }
        defer { state.output.clear(outputs) }
        return send(state.output.bytes)
    }

    /// Writes the output with what it borrows, before that goes.
    func flushBorrowed() {
        guard var segments = state.pointer.pointee.takeSegmentedOutput() else { return }
        defer { segments.free(outputs) }
        guard !isClosed else { return }
        engine.outputTaken()
        var left = state.isTakingOutput ? write(segments) : 0
        // What the kernel did not take is copied.
        segments.forEachPart { part in
            let taken = min(left, part.count)
            left -= taken
            keep(part[taken..<part.count])
        }
        if !state.unsent.isEmpty { needsFlush() }
    }

    /// How many bytes the kernel took of all segments.
    private func write(_ segments: SegmentedOutput) -> Int {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: segments.mostParts) { parts in
            guard let base = parts.baseAddress else { return 0 }
            var count = 0
            segments.forEachPart { part in
                (base + count).initialize(
                    to: iovec(iov_base: UnsafeMutableRawPointer(mutating: part.base), iov_len: part.count))
                count += 1
            }
            return noteWritten(transport.write(UnsafeMutableBufferPointer(start: base, count: count))) ?? 0
        }
    }

    override func send(_ bytes: Bytes) -> Bool {
        guard state.unsent.isEmpty else {
            keep(bytes)
            return false
        }
        var rest = bytes
        while rest.count > 0 {
            guard let count = write(rest) else {
                keep(rest)
                return false
            }
            rest = rest[count..<rest.count]
        }
        return !isClosed
    }

    private func sendUnsent() -> Bool {
        while !state.unsent.isEmpty {
            guard let count = write(state.unsent.bytes) else { return false }
            state.unsent.dropFirst(count)
        }
        return true
    }

    /// How many bytes the kernel took; `nil` when it takes none now, or when the connection is over.
    private func write(_ bytes: Bytes) -> Int? {
        guard !isClosed, !state.awaitsWritable else { return nil }
        return noteWritten(transport.write(bytes))
    }

    private func noteWritten(_ result: IOResult) -> Int? {
        switch result {
        case .bytes(let count):
            traffic?.sent.add(UInt64(count))
            state.blockedSince = 0
            return count
        case .wouldBlockWrite, .wouldBlockRead: setAwaitsWritable(true)
        case .closed: close(.peerClosed)
        case .failed(let failure):
            close(.failed((transport.session?.partingAlert() ?? failure).description))
        }
        return nil
    }

    /// For when the kernel takes bytes again. A connection that is over keeps nothing.
    private func keep(_ bytes: Bytes) {
        if !isClosed { state.unsent.append(bytes) }
    }

    private func setAwaitsWritable(_ wanted: Bool) {
        guard wanted != state.awaitsWritable else { return }
        state.awaitsWritable = wanted
        if wanted && state.blockedSince == 0 {
            state.blockedSince = loop.now
            watchSoon()
        }
        let events = UInt32(EPOLLIN.rawValue) | (wanted ? UInt32(EPOLLOUT.rawValue) : 0)
        guard let role = role?.takeUnretainedValue() else { return }
        do {
            try loop.modify(descriptor, events, role)
        } catch {
            close(.failed(error.description))
        }
    }

    // MARK: What waits for the peer

    override func watchSoon() { watcher.look(within: ConnectionStallDetector.soon) }

    /// A request has begun.
    @inline(__always) func watchBodies() { if stallDetector == nil || streams.count == 1 { watchBodiesNow() } }

    private func watchBodiesNow() {
        if state.limits.body > 0 { watcher.look(within: state.limits.bodyInterval) }
    }

    /// Nothing waits for the peer any more.
    func endWatch() { stallDetector = nil }

    private var watcher: ConnectionStallDetector {
        if let stallDetector { return stallDetector }
        let new = ConnectionStallDetector(self, loop: loop)
        stallDetector = new
        return new
    }

    /// A stream asks for the connection to take no more requests.
    func drainIsWanted() { tell { $0.drainIsWanted() } }

    // MARK: Events of the engine

    override func openStream() -> Stream? { tell { $0.openStream() } ?? nil }
    override func streamBegan() { tell { $0.streamBegan() } }
    override func streamEnded() { tell { $0.streamEnded() } }
    override func roomIsThere() { tell { $0.roomIsThere() } }
    override func peerIsReady() { tell { $0.peerIsReady() } }
    override func peerIsLeaving() { tell { $0.peerIsLeaving() } }
    override func pingAcknowledged(_ number: UInt32) { tell { $0.pingAcknowledged(number) } }
    override func abused(_ kind: Abuse) { tell { $0.abused(kind) } }
}

/// Where a connection counts its bytes.
struct TrafficCounters {
    let received: Counter
    let sent: Counter
}
