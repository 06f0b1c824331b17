/// HTTP/2 on one connection (RFC 9113): bytes become events of streams, and what is asked of streams becomes frames.
///
/// Knows no loop, no socket and no clock: bytes come by `receive`, frames leave by `flush` through the host's output, and the time is
/// the host's. What a stream means is its delegate's business; what the connection means is the host's. Its host owns it.
final class HTTP2Engine {
    /// What the client begins with (§3.4).
    static var preface: Bytes { Bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") }

    let settings: EngineSettings
    let shared: HTTP2SharedState
    let outputs: OutputPool
    /// Owns the engine.
    let host: Unmanaged<EngineHost>
    let connection: Handle<ConnectionState>
    let state: Handle<HTTP2State>

    init(_ host: EngineHost, _ settings: EngineSettings, _ shared: HTTP2SharedState) {
        self.host = .passUnretained(host)
        self.settings = settings
        self.shared = shared
        outputs = host.outputs
        connection = host.state
        state = .allocate(HTTP2State(shared))
    }

    deinit {
        state.pointer.pointee.destroy()
        state.free()
    }

    @inline(__always) var isServer: Bool { settings.side == .server }
    @inline(__always) var isClosed: Bool { connection.isClosed }
    @inline(__always) var now: Instant { connection.now }

    @inline(__always) func tell<Result>(_ body: (EngineHost) -> Result) -> Result {
        host._withUnsafeGuaranteedRef(body)
    }
    @inline(__always) func needsFlush() { if !connection.isFlushPending { tell { $0.needsFlush() } } }

    // MARK: Faults

    /// The peer has broken the rules for good: tells it why, and ends the connection (RFC 9113 §5.4.1).
    ///
    /// - Parameter limits: how long the socket may stay for what was written.
    func fail(_ code: ErrorCode, _ reason: String, lingering limits: LingerSchedule.Limits? = .farewell) {
        guard !isClosed else { return }
        queueGoAway(code, last: state.lastPeerStream)
        tell { $0.end(.protocolViolation("HTTP/2 violation: \(reason)"), lingering: limits) }
    }

    /// The peer has gone beyond a limit: ends the connection.
    func cutOff(_ kind: Abuse) {
        guard !isClosed else { return }
        tell {
            $0.abused(kind)
            if kind == .unreadOutput { $0.abandonOutput() }
        }
        fail(.enhanceYourCalm, kind.text, lingering: nil)
    }

    /// Counts a frame that brings nothing; false: it was one too many, and the connection is over.
    @inline(__always) func admits(_ kind: Abuse) -> Bool {
        if connection.budget.spend(kind, now: now) { return true }
        cutOff(kind)
        return false
    }

    // MARK: What the connection asks

    /// The peer has sent its settings.
    var peerIsReady: Bool { state.peerSentSettings }

    /// The peer has opened a stream.
    var hasServed: Bool { state.lastPeerStream > 0 }

    /// Octets of a head that the peer takes, as far as it has said.
    var peerHeadLimit: Int { state.peerHeadLimit }

    /// Streams that the peer lets us have open at a time; 100 until it says (C6).
    @inline(__always) var peerStreamLimit: Int { state.peerStreamLimit }

    /// One side has said that it leaves, and no stream is left.
    var isComplete: Bool { (state.weAreLeaving || state.peerIsLeaving) && connection.streams.count == 0 }

    /// The client's preface has come, or we are the client.
    var hasBegun: Bool { state.prefaceLeft == 0 }
}
