/// What is asked of the connection, and said about it.
extension HTTP2Engine {
    /// Queues the preface, our settings, and what the connection's window is beyond its first size.
    func begin() {
        if isServer {
            state.prefaceLeft = HTTP2Engine.preface.count
        } else {
            state.peerHeadLimit = HTTP2State.smallHead
            connection.output.append(HTTP2Engine.preface, outputs)
        }
        state.streamLimit = settings.streamLimit ?? Int.max
        state.streamWindow = settings.streamWindow
        state.largestStreamWindow = max(settings.streamWindow, settings.largestStreamWindow)
        ourSettings.withBytes { queue(FrameHead(length: $0.count, type: FrameType.settings), $0) }
        let window = settings.connectionWindow
        guard window > state.window else { return }
        queueWindowUpdate(0, window - state.window)
        state.window = window
        state.receiveWindow = window
    }

    /// The payload of our SETTINGS (§6.5.1).
    private var ourSettings: [UInt8] {
        var payload: [UInt8] = []
        func add(_ setting: HTTP2Setting, _ value: UInt32) {
            withUnsafeBytes(of: setting.rawValue.bigEndian) { payload.append(contentsOf: $0) }
            withUnsafeBytes(of: value.bigEndian) { payload.append(contentsOf: $0) }
        }
        if let limit = settings.streamLimit { add(.maxConcurrentStreams, UInt32(clamping: limit)) }
        if !isServer { add(.enablePush, 0) }
        add(.initialWindowSize, UInt32(clamping: settings.streamWindow))
        add(.maxHeaderListSize, UInt32(clamping: settings.maxHeaderBytes))
        return payload
    }

    /// Announces what has come on the connection, unless bodies hold too much.
    func openWindow() {
        state.windowIsHeld = isServer && tell { $0.makeRoomForBodies() }
        guard !state.windowIsHeld else { return tell { $0.watchSoon() } }
        queueWindowUpdate(0, state.consumed)
        state.receiveWindow += state.consumed
        state.consumed = 0
    }

    /// Looks again whether bodies hold too much.
    @inline(__always) func openHeldWindow() { if state.windowIsHeld { openWindow() } }

    /// The first half of a graceful end: no stream is refused yet (C4).
    /// - Parameter reason: debug data, for people at the other end.
    func submitShutdownNotice(_ reason: StaticString = "") {
        guard !isClosed else { return }
        queueGoAway(.noError, last: Int32.max, reason)
    }

    /// The second half: streams that were begun are served, new ones are not (C4).
    func submitGoAway(_ code: ErrorCode = .noError, _ reason: StaticString = "") {
        guard !isClosed else { return }
        state.weAreLeaving = true
        state.lastServedStream = state.lastPeerStream
        queueGoAway(code, last: state.lastPeerStream, reason)
    }

    /// `pingAcknowledged` tells when the peer has seen everything sent before.
    func submitPing(_ number: UInt32 = 0) {
        guard !isClosed else { return }
        connection.output.append(FrameHead(length: 8, type: FrameType.ping), 0, number, outputs)
        needsFlush()
    }
}

extension HTTP2Engine {
    /// The output is with the transport.
    func outputTaken() { state.lastSentStream = state.nextStream &- 2 }

    /// The kernel has taken everything.
    func outputLeft() { state.answers = 0 }

    /// The connection is closed: its streams end.
    func connectionClosed(_ reason: CloseReason) {
        state.section.target = nil
        while let stream = connection.streams.first {
            detach(stream)
            _ = stream.report { $0.streamClosed($1, .cancelled, reason) }
        }
    }

    /// For assertions: the rows of streams that wait hold what they should.
    var hasSoundQueues: Bool {
        var waiting = 0
        tell { $0.inspectStreams { if $0.queue != .none && $0.queue != .parked { waiting += 1 } } }
        return state.queues.checkedCount() == waiting
    }
}
