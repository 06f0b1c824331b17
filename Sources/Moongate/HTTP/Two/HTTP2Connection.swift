import CMoongate
import Glibc

/// One HTTP/2 connection: a transport, and the frames on it (RFC 9113).
///
/// Reads when the kernel says so and handles each frame at once; what is to be sent waits for the end of the loop's turn
/// and leaves in one write. What a stream means is its delegate's business; what the connection means (client,
/// upstream) is the subclass's. Lives on one worker's thread; its owner holds it until `connectionClosed`.
class HTTP2Connection: EventHandler {
    /// Bytes that one turn reads from one connection before others get their turn.
    private static let readBudget = EventLoop.readBufferSize
    /// What one turn handles of a client, see `HTTP2State.handled`: small frames cost more than their bytes say. And of an
    /// upstream: what it sends is the answers to many clients, and the more of them a turn has, the fewer writes.
    private static let clientWork: UInt64 = 1024
    private static let upstreamWork: UInt64 = 4096
    private static let leastRead = 4 * 1024

    enum Side {
        /// Towards a client.
        case server
        /// Towards an upstream.
        case client
    }

    let loop: EventLoop
    let library: HTTP2SharedState
    /// Takes the streams that the peer opens; `nil`: it may open none. Each stream names who hears of its events.
    let acceptor: StreamDelegate?
    let descriptor: Int32
    /// The largest header section taken from the peer (RFC 9113 §6.5.2 arithmetic).
    let maxHeaderBytes: Int
    /// The most fields of one.
    let maxHeaderFields: Int
    let core: UnsafeMutablePointer<HTTP2State>

    private let traffic: TrafficCounters?

    private(set) var isClosed = false
    private var transport: Transport
    private var isFlushPending = false
    private var awaitsWritable = false
    private(set) var closesAfterFlush = false
    /// TLS is not established yet: nothing is read or sent but the handshake.
    private var isHandshaking: Bool
    /// Bytes that the kernel did not take; they come before all others.
    private var unsent = PendingBytes()
    let watchLimits: StallLimits
    /// Made when something waits for the peer; see `watchSoon`.
    var watch: ConnectionStallDetector?

    /// - Parameter traffic: counts bytes of the transport, TLS removed.
    init(
        loop: EventLoop, library: HTTP2SharedState, acceptor: StreamDelegate?, transport: Transport,
        maxHeaderBytes: Int,
        maxHeaderFields: Int = .max, limits: FrameLimits = FrameLimits(), watch: StallLimits = StallLimits(),
        traffic: TrafficCounters? = nil
    ) {
        watchLimits = watch
        self.loop = loop
        self.library = library
        self.acceptor = acceptor
        self.transport = transport
        self.maxHeaderBytes = maxHeaderBytes
        self.maxHeaderFields = maxHeaderFields
        self.traffic = traffic
        descriptor = transport.fd
        isHandshaking = transport.needsHandshake
        core = .allocate(capacity: 1)
        core.initialize(to: HTTP2State(library, limits, now: loop.now))
    }

    deinit {
        core.pointee.destroy(library)
        core.deinitialize(count: 1)
        core.deallocate()
    }

    // MARK: For subclasses

    /// The connection is over: the peer left, the transport failed, or both sides had nothing more to say.
    /// Called once, before the delegate hears of the streams that were open.
    func connectionClosed(_ reason: CloseReason) {}

    /// What was written is to arrive, and the connection has nothing more to say.
    /// - Returns: whether the transport is somebody else's from now on, who closes it; else it is closed at once.
    func linger(_ leaving: LeavingTransport) -> Bool { false }

    /// TLS is established.
    func established(_ session: TLSSession) {}

    /// TLS could not be established; the connection closes.
    func handshakeFailed(_ failure: IOFailure, _ session: TLSSession?) {}

    /// The peer announced that it takes no new streams.
    func goAwayReceived() {}

    /// The peer's settings arrived or changed.
    func settingsReceived() {}

    /// The peer answered a PING of ours that was sent with `number`.
    func pingAcknowledged(_ number: UInt32) {}

    /// The peer is cut off for it, or one of its streams is.
    func abused(_ kind: Abuse) {}

    /// The peer opened a stream.
    func streamBegan() {}

    /// One of the streams is gone, by `code`; called before the delegate's `streamClosed`, and so calls nobody else.
    func streamEnded(_ code: ErrorCode) {}

    /// There may be room for another stream; called behind the delegate's `streamClosed`.
    func roomIsThere() {}

    // MARK: Beginning and end

    /// Queues our settings and listens for input. On failure the connection closes itself.
    ///
    /// - Parameters:
    ///   - window: octets that the peer may have under way on all streams, at least 65,535.
    ///   - largestStreamWindow: what a stream's window grows to, if that is more than its first size.
    func begin(
        _ side: Side, _ settings: [(HTTP2Setting, UInt32)], window: Int32, largestStreamWindow: Int32 = 0
    ) {
        announce(side, settings, window: window, largestStreamWindow: largestStreamWindow)
        do {
            try loop.add(descriptor, UInt32(EPOLLIN.rawValue), self)
        } catch {
            return close(.failed(error.description))
        }
        needsFlush()
        // What came with the end of the handshake has left the socket, so no event will tell of it.
        if !isHandshaking && transport.hasPendingInput { loop.runAgain(self) }
    }

    /// Ends the connection now. Calling it again does nothing.
    ///
    /// - Parameter limits: how long the socket may stay for what was written, so that the peer gets it; `nil`: not at all. Only
    ///   clients have that time.
    func close(_ reason: CloseReason, lingering limits: LingerSchedule.Limits? = nil) {
        guard !isClosed else { return }
        assert(loop.isCurrent, "a connection is used outside of its loop")
        isClosed = true
        core.pointee.section.target = nil
        loop.remove(descriptor)
        endTransport(limits)
        loop.releaseLater(self)
        connectionClosed(reason)
        while let stream = streams.first {
            detach(stream)
            _ = stream.pointee.report { $0.streamClosed($1, .cancel, reason) }
        }
    }

    private func endTransport(_ limits: LingerSchedule.Limits?) {
        if let limits, !isHandshaking, core.pointee.prefaceLeft == 0 {
            let leaving = LeavingTransport(transport: transport, rest: unsent, limits: limits)
            if linger(leaving) {
                unsent = PendingBytes()
                return
            }
        }
        if transport.session != nil { transport.shutdown() }
        transport.close()
        unsent.clear()
    }

    /// The peer has broken the rules for good: tells it why, and ends the connection (RFC 9113 §5.4.1).
    ///
    /// - Parameter limits: see `close`.
    func fail(_ code: ErrorCode, _ reason: String, lingering limits: LingerSchedule.Limits? = .farewell) {
        guard !isClosed else { return }
        queueGoAway(code, last: core.pointee.lastPeerStream)
        // Frames whose payload is lent would be cut.
        if !core.pointee.loans.isEmpty { flushBorrowed() }
        if !isHandshaking { _ = sendOutput() }
        close(.protocolViolation(reason), lingering: limits)
    }

    /// The peer has gone beyond a limit: ends the connection.
    func cutOff(_ kind: Abuse) {
        guard !isClosed else { return }
        abused(kind)
        if kind == .unreadOutput { transport.abandonOutput() }
        fail(.enhanceYourCalm, kind.text, lingering: nil)
    }

    /// Counts a frame that brings nothing; false: it was one too many, and the connection is over.
    @inline(__always) func admits(_ kind: Abuse) -> Bool {
        if core.pointee.budget.spend(kind, now: loop.now) { return true }
        cutOff(kind)
        return false
    }

    // MARK: Reading

    override func ready(_ events: UInt32) {
        guard !isClosed else { return }
        // Where it is not its turn, the kernel tells of it again in the next one.
        if isHandshaking && !library.handshakes.take(now: loop.now) { return }
        if events & UInt32(EPOLLOUT.rawValue) != 0 {
            setAwaitsWritable(false)
            needsFlush()
        }
        if isHandshaking { return handshake() }
        if events & ~UInt32(EPOLLOUT.rawValue) != 0 { receive() }
    }

    private func handshake() {
        switch transport.handshake() {
        case .finished:
            isHandshaking = false
            if let session = transport.session { established(session) }
            needsFlush()
            receive()
        case .wouldBlockRead:
            break
        case .wouldBlockWrite:
            setAwaitsWritable(true)
        case .failed(let failure):
            handshakeFailed(failure, transport.session)
            close(.failed(failure.description))
        }
    }

    override func again() {
        guard !isClosed else { return }
        core.pointee.spentAt = 0
        receive()
    }

    private func receive() {
        guard core.pointee.spentAt != loop.now,
            let base = loop.readBuffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        else { return }
        var budget = HTTP2Connection.readBudget
        let begun = core.pointee.handled
        while budget > 0, core.pointee.handled &- begun < workBudget {
            let room = UnsafeMutableRawBufferPointer(
                start: base, count: min(core.pointee.readSize, loop.readBuffer.count))
            switch transport.read(into: room) {
            case .bytes(let count):
                traffic?.received.add(UInt64(count))
                core.pointee.heardAt = loop.now
                let before = core.pointee.handled
                take(Bytes(base, count))
                loop.flushBorrowers()
                guard !isClosed else { return }
                budget -= count
                if count < room.count && !transport.hasPendingInput { return }
                fitReads(core.pointee.handled &- before)
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
        core.pointee.spentAt = loop.now
        loop.runAgain(self)
    }

    private var workBudget: UInt64 { acceptor == nil ? HTTP2Connection.upstreamWork : HTTP2Connection.clientWork }

    /// Makes the next read smaller or larger, by how much work was in one that was full.
    private func fitReads(_ work: UInt64) {
        let size = core.pointee.readSize
        if work > workBudget {
            core.pointee.readSize = max(HTTP2Connection.leastRead, size / 2)
        } else if work < workBudget / 4 {
            core.pointee.readSize = min(loop.readBuffer.count, size * 2)
        }
    }

    // MARK: Writing

    /// Sends what is queued at the end of this turn.
    @inline(__always) func needsFlush() {
        guard !isFlushPending else { return }
        isFlushPending = true
        loop.flushLater(self)
    }

    /// Ends the connection at the end of this turn, after what is queued was sent as far as the kernel takes it.
    func closeAfterFlush() {
        closesAfterFlush = true
        needsFlush()
    }

    override func flush() {
        isFlushPending = false
        assert(hasSoundQueues, "the queues of a connection's streams are broken")
        defer { if closesAfterFlush { close(.local) } }
        guard !isClosed, !isHandshaking else { return }
        if !core.pointee.loans.isEmpty { flushBorrowed() }
        openHeldWindow()
        giveRoom()
        let hasSent = serveReadyStreams(mayWrite: !awaitsWritable && sendUnsent()) && sendOutput()
        if hasSent { core.pointee.lastSentStream = core.pointee.nextStream &- 2 }
        guard hasSent, !isClosed, unsent.isEmpty else { return }
        core.pointee.answers = 0
        let isLeaving = core.pointee.weAreLeaving || core.pointee.peerIsLeaving
        if isLeaving && streams.count == 0 { close(.complete, lingering: .response) }
    }

    /// Bytes can be lent to the output: under TLS all are copied anyway.
    @inline(__always) var takesLoans: Bool { !transport.isTLS }

    /// The kernel took everything so far.
    @inline(__always) var isTakingOutput: Bool { !isClosed && !isHandshaking && !awaitsWritable && unsent.isEmpty }

    /// Writes the output; false when the kernel takes no more of it now.
    private func sendOutput() -> Bool {
        guard !core.pointee.output.isEmpty else { return true }
        defer { core.pointee.output.clear(library.outputs) }
        return send(core.pointee.output.bytes)
    }

    /// Writes the output with what was lent to it, before that goes.
    override func flushBorrowed() {
        guard var lent = core.pointee.takeLentOutput() else { return }
        defer { lent.free(library.outputs) }
        guard !isClosed else { return }
        core.pointee.lastSentStream = core.pointee.nextStream &- 2
        var left = isTakingOutput ? write(lent) : 0
        // What the kernel did not take is copied.
        lent.forEachPart { part in
            let taken = min(left, part.count)
            left -= taken
            keep(part[taken..<part.count])
        }
        if !unsent.isEmpty { needsFlush() }
    }

    /// How many bytes the kernel took of the output and the loans within.
    private func write(_ lent: SegmentedOutput) -> Int {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: lent.mostParts) { parts in
            guard let base = parts.baseAddress else { return 0 }
            var count = 0
            lent.forEachPart { part in
                (base + count).initialize(
                    to: iovec(iov_base: UnsafeMutableRawPointer(mutating: part.base), iov_len: part.count))
                count += 1
            }
            return noteWritten(transport.write(UnsafeMutableBufferPointer(start: base, count: count))) ?? 0
        }
    }

    /// Writes as much as the kernel takes and keeps the rest; false unless everything went.
    func send(_ bytes: Bytes) -> Bool {
        guard unsent.isEmpty else {
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
        while !unsent.isEmpty {
            guard let count = write(unsent.bytes) else { return false }
            unsent.dropFirst(count)
        }
        return true
    }

    /// How many bytes the kernel took; `nil` when it takes none now, or when the connection is over.
    private func write(_ bytes: Bytes) -> Int? {
        guard !isClosed, !awaitsWritable else { return nil }
        return noteWritten(transport.write(bytes))
    }

    private func noteWritten(_ result: IOResult) -> Int? {
        switch result {
        case .bytes(let count):
            traffic?.sent.add(UInt64(count))
            core.pointee.blockedSince = 0
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
        if !isClosed { unsent.append(bytes) }
    }

    private func setAwaitsWritable(_ wanted: Bool) {
        guard wanted != awaitsWritable else { return }
        awaitsWritable = wanted
        if wanted && core.pointee.blockedSince == 0 {
            core.pointee.blockedSince = loop.now
            watchSoon()
        }
        let events = UInt32(EPOLLIN.rawValue) | (wanted ? UInt32(EPOLLOUT.rawValue) : 0)
        do {
            try loop.modify(descriptor, events, self)
        } catch {
            close(.failed(error.description))
        }
    }
}

/// Where a connection counts its bytes.
struct TrafficCounters {
    let received: Counter
    let sent: Counter
}

/// Why a connection ended.
enum CloseReason {
    /// The peer closed its side.
    case peerClosed
    /// GOAWAY was exchanged and the last stream is done.
    case complete
    /// The transport or the system failed.
    case failed(String)
    /// The peer broke HTTP/2.
    case protocolViolation(String)
    /// We ended it.
    case local

    var text: String {
        switch self {
        case .peerClosed: return "connection closed by the peer"
        case .complete: return "connection ended after GOAWAY"
        case .failed(let text): return text
        case .protocolViolation(let text): return "HTTP/2 violation: \(text)"
        case .local: return "connection ended by the proxy"
        }
    }
}
