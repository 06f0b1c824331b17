import CMoongate
import CNghttp2
import Glibc

/// One HTTP/2 connection: a transport, an nghttp2 session, and the bytes between them.
///
/// Reads when the kernel says so, feeds the session, and at the end of the loop turn sends everything the turn
/// produced in one write. What a stream means is its delegate's business; what the connection means (client,
/// upstream) is the subclass's. Lives on one worker's thread; its owner holds it until `connectionClosed`.
class HTTP2Connection: EventHandler {
    /// Bytes that one turn reads from one connection before others get their turn.
    private static let readBudget = 4 * EventLoop.readBufferSize

    let loop: EventLoop
    let library: HTTP2Library
    /// Takes the streams that the peer opens; `nil`: it may open none. Each stream names who hears of its events.
    let acceptor: StreamDelegate?
    let descriptor: Int32
    /// The largest header section taken from the peer (RFC 9113 §6.5.2 arithmetic).
    let maxHeaderBytes: Int

    private let traffic: TrafficCounters?

    private(set) var isClosed = false
    private(set) var session: OpaquePointer?
    private var transport: Transport
    private var isFlushPending = false
    private var awaitsWritable = false
    private var closesAfterFlush = false
    /// TLS is not established yet: nothing is read or sent but the handshake.
    private var isHandshaking: Bool
    /// Bytes that the kernel did not take; nothing more is collected from the session until they are gone.
    private var unsent = PendingBytes()
    private(set) var streams = HTTP2StreamList()

    /// Streams that the peer may have open at a time.
    private(set) var streamLimit = Int.max

    /// Where the fields of the section that is being received go.
    var sectionTarget: UnsafeMutablePointer<HeaderList>?
    var sectionSize = 0

    /// - Parameter traffic: counts bytes of the transport, TLS removed.
    init(
        loop: EventLoop, library: HTTP2Library, acceptor: StreamDelegate?, transport: Transport, maxHeaderBytes: Int,
        traffic: TrafficCounters? = nil
    ) {
        self.loop = loop
        self.library = library
        self.acceptor = acceptor
        self.transport = transport
        self.maxHeaderBytes = maxHeaderBytes
        self.traffic = traffic
        descriptor = transport.fd
        isHandshaking = transport.isTLS
    }

    // MARK: For subclasses

    /// The connection is over: the peer left, the transport failed, or both sides had nothing more to say.
    /// Called once, before the delegate hears of the streams that were open.
    func connectionClosed(_ reason: CloseReason) {}

    /// TLS is established.
    func established(_ session: TLSSession) {}

    /// TLS could not be established; the connection closes.
    func handshakeFailed() {}

    /// The peer announced that it takes no new streams.
    func goAwayReceived() {}

    /// The peer's settings arrived or changed.
    func settingsReceived() {}

    /// The peer answered a PING of ours.
    func pingAcknowledged() {}

    /// The peer reset a stream.
    func resetReceived() {}

    /// The peer opened a stream.
    func streamBegan() {}

    /// One of the streams is gone, by `code`; called before the delegate's `streamClosed`.
    func streamEnded(_ code: ErrorCode) {}

    // MARK: Beginning and end

    /// Creates the session, submits our settings and listens for input. On failure the connection closes itself.
    func begin(_ side: HTTP2Library.Side, _ settings: [(HTTP2Setting, UInt32)], window: Int32) {
        guard let session = library.makeSession(side, owner: Unmanaged.passUnretained(self).toOpaque()) else {
            return close(.failed("no memory"))
        }
        self.session = session
        announce(settings, session)
        nghttp2_session_set_local_window_size(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, window)
        do {
            try loop.add(descriptor, UInt32(EPOLLIN.rawValue), self)
        } catch {
            return close(.failed(error.description))
        }
        needsFlush()
    }

    /// Queues our SETTINGS.
    ///
    /// nghttp2 would answer a stream too many with the end of the connection; C6 wants that stream refused and nothing
    /// else. So nghttp2 is told that any number may come, `streamLimit` is enforced here, and the number is put into
    /// the frame on its way out.
    private func announce(_ settings: [(HTTP2Setting, UInt32)], _ session: OpaquePointer) {
        let entries = settings.map { setting, value in
            nghttp2_settings_entry(
                settings_id: setting.rawValue, value: setting == .maxConcurrentStreams ? UInt32.max : value)
        }
        nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count)
        guard let limit = settings.first(where: { $0.0 == .maxConcurrentStreams })?.1 else { return }
        streamLimit = Int(limit)
        var data: UnsafePointer<UInt8>?
        let count = nghttp2_session_mem_send(session, &data)
        guard count > 0, let data else { return }
        var frame = [UInt8](UnsafeBufferPointer(start: data, count: count))
        HTTP2Setting.replace(.maxConcurrentStreams, by: limit, in: &frame)
        frame.withUnsafeBufferPointer { bytes in
            if let base = bytes.baseAddress { unsent.append(Bytes(base, bytes.count)) }
        }
    }

    /// Ends the connection now. Calling it again does nothing.
    func close(_ reason: CloseReason) {
        guard !isClosed else { return }
        isClosed = true
        sectionTarget = nil
        loop.remove(descriptor)
        if transport.isTLS { transport.shutdown() }
        transport.close()
        unsent.clear()
        loop.bury(self)
        connectionClosed(reason)
        while let stream = streams.first {
            streams.remove(stream)
            _ = stream.pointee.report { $0.streamClosed($1, .cancel, reason) }
        }
    }

    /// The session goes with the object, since it may be on the stack when a callback closes the connection.
    deinit {
        if let session { nghttp2_session_del(session) }
    }

    // MARK: Streams

    @inline(__always) func attach(_ stream: HTTP2StreamPointer, _ id: Int32) { streams.insert(stream, id, of: self) }
    @inline(__always) func detach(_ stream: HTTP2StreamPointer) { streams.remove(stream) }

    // MARK: Reading

    override func ready(_ events: UInt32) {
        guard !isClosed else { return }
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
            handshakeFailed()
            close(.failed(failure.description))
        }
    }

    override func again() {
        guard !isClosed else { return }
        receive()
    }

    private func receive() {
        var budget = HTTP2Connection.readBudget
        while budget > 0 {
            switch transport.read(into: loop.readBuffer) {
            case .bytes(let count):
                traffic?.received.add(UInt64(count))
                guard feed(count) else { return }
                budget -= count
                if count < loop.readBuffer.count && !transport.hasPendingInput { return }
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
        // The budget is spent: TLS may hold bytes that the kernel does not report.
        loop.runAgain(self)
    }

    /// Hands `count` bytes of the read buffer to the session; false when the connection is over.
    private func feed(_ count: Int) -> Bool {
        guard let session, let base = loop.readBuffer.baseAddress else { return false }
        let result = nghttp2_session_mem_recv(session, base.assumingMemoryBound(to: UInt8.self), count)
        guard !isClosed else { return false }
        if result < 0 {
            let reason = String(cString: nghttp2_strerror(Int32(result)))
            nghttp2_session_terminate_session(session, ErrorCode.protocolError.rawValue)
            flush()
            close(.protocolViolation(reason))
            return false
        }
        needsFlush()
        return true
    }

    // MARK: Writing

    /// Sends what the session wants to send at the end of this turn.
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
        defer { if closesAfterFlush { close(.local) } }
        guard !isClosed, !isHandshaking, let session else { return }
        guard !awaitsWritable, sendUnsent() else { return }
        guard collectAndSend(session), !isClosed else { return }
        if nghttp2_session_want_read(session) == 0 && nghttp2_session_want_write(session) == 0 { close(.complete) }
    }

    /// Drains the session into the write buffer and writes it; false when the kernel takes no more.
    private func collectAndSend(_ session: OpaquePointer) -> Bool {
        guard let base = loop.writeBuffer.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
        var used = 0
        while true {
            var data: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(session, &data)
            if count < 0 {
                close(.failed(String(cString: nghttp2_strerror(Int32(count)))))
                return false
            }
            guard count > 0, let data else { break }
            if used + count > loop.writeBuffer.count {
                let sent = send(Bytes(base, used))
                used = 0
                if !sent {
                    keep(Bytes(data, count))
                    return false
                }
            }
            memcpy(base + used, data, count)
            used += count
        }
        return used == 0 || send(Bytes(base, used))
    }

    /// Writes as much as the kernel takes and keeps the rest; false unless everything went.
    private func send(_ bytes: Bytes) -> Bool {
        var rest = bytes
        while rest.count > 0 {
            guard let count = write(rest) else {
                keep(rest)
                return false
            }
            rest = rest[count..<rest.count]
        }
        return true
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
        guard !isClosed else { return nil }
        switch transport.write(bytes) {
        case .bytes(let count):
            traffic?.sent.add(UInt64(count))
            return count
        case .wouldBlockWrite, .wouldBlockRead: setAwaitsWritable(true)
        case .closed: close(.peerClosed)
        case .failed(let failure): close(.failed(failure.description))
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
