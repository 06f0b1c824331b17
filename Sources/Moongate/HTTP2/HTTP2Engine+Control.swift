/// Frames about the connection, its streams' ends and their windows (RFC 9113 §6).
extension HTTP2Engine {
    /// Answers that may wait for a peer which asks and does not read (CVE-2019-9512, CVE-2019-9515).
    private static let answerLimit = 1000

    /// Settings in one frame: some of them have every stream looked at.
    private static let settingLimit = 32
    /// Octets; a client that opens a window by less goes on being stalled.
    private static let worthwhileWindow: Int32 = 1024

    /// A peer that lets us answer and answer without reading is cut off.
    private func mayAnswer(_ kind: Abuse) -> Bool {
        guard !connection.isTakingOutput else { return true }
        state.answers += 1
        guard state.answers > HTTP2Engine.answerLimit else { return true }
        cutOff(kind)
        return false
    }

    // MARK: §6.3, §6.4

    func priorityReceived(_ head: FrameHead, _ payload: Bytes) {
        if head.stream == 0 { return fail(.protocolError, "PRIORITY on stream 0") }
        guard payload.count == 5 else { return fail(.frameSizeError, "PRIORITY of \(payload.count) octets") }
        guard admits(.priority) else { return }
        guard HTTP2Engine.dependency(payload, at: 0) == head.stream else { return }
        // RFC 7540 §5.3.1: an error of the stream. One that was never opened cannot be reset (§5.1), so the error is the
        // connection's (§5.4.2); one that has ended is past caring.
        if let stream = connection.streams[head.stream] {
            refuse(stream, .protocolError)
        } else if !isPast(head.stream) {
            fail(.protocolError, "a stream that depends on itself")
        }
    }

    func resetStreamReceived(_ head: FrameHead, _ payload: Bytes) {
        guard payload.count == 4 else { return fail(.frameSizeError, "RST_STREAM of \(payload.count) octets") }
        guard head.stream != 0 else { return fail(.protocolError, "RST_STREAM on stream 0") }
        guard let stream = connection.streams[head.stream] else {
            guard isPast(head.stream) else {
                return fail(.protocolError, "RST_STREAM on a stream that was not opened")
            }
            state.resets.remove(head.stream)
            _ = admits(.stray)
            return
        }
        // Servers reset what we have opened.
        guard !isServer || admits(.rapidReset) else { return }
        finish(stream, StreamEnd(ErrorCode(rawValue: payload.base.bigEndian(at: 0))))
    }

    // MARK: SETTINGS (§6.5)

    func settingsReceived(_ head: FrameHead, _ payload: Bytes) {
        guard head.stream == 0 else { return fail(.protocolError, "SETTINGS on a stream") }
        guard admits(.settings) else { return }
        if head.has(FrameFlag.acknowledgement) {
            if payload.count > 0 { fail(.frameSizeError, "SETTINGS that acknowledge and set") }
            return
        }
        guard payload.count % 6 == 0 else { return fail(.frameSizeError, "SETTINGS of \(payload.count) octets") }
        guard payload.count <= 6 * HTTP2Engine.settingLimit else {
            return cutOff(.settings)
        }
        let isFirst = !state.peerSentSettings
        state.peerSentSettings = true
        if isFirst { state.peerHeadLimit = Int.max }
        var position = 0
        while position < payload.count {
            let id = UInt16(payload[position]) << 8 | UInt16(payload[position + 1])
            apply(HTTP2Setting(rawValue: id), payload.base.bigEndian(at: position + 2))
            guard !isClosed else { return }
            position += 6
        }
        guard mayAnswer(.settings) else { return }
        queue(FrameHead(length: 0, type: FrameType.settings, flags: FrameFlag.acknowledgement), .empty)
        // Large trailers may wait for it.
        if isFirst { tell { $0.inspectStreams { resume($0) } } }
        tell { $0.peerIsReady() }
    }

    private func apply(_ setting: HTTP2Setting?, _ value: UInt32) {
        switch setting {
        case .headerTableSize: state.encoder.limitTable(to: value)
        case .enablePush:
            guard value <= (!isServer ? 0 : 1) else { return fail(.protocolError, "ENABLE_PUSH of \(value)") }
        case .maxConcurrentStreams: state.peerStreamLimit = Int(value)
        case .initialWindowSize:
            guard value <= UInt32(Int32.max) else { return fail(.flowControlError, "a window of \(value)") }
            resizeWindows(to: Int32(value))
        case .maxFrameSize:
            guard value >= 16_384, value < 1 << 24 else { return fail(.protocolError, "MAX_FRAME_SIZE of \(value)") }
        // It is the peer's advice (§6.5.2), but many end the connection for more.
        case .maxHeaderListSize: state.peerHeadLimit = Int(value)
        case nil: break
        }
    }

    /// §6.9.2: open streams get what the new size is more, or less.
    private func resizeWindows(to size: Int32) {
        let change = Int64(size) - Int64(state.peerStreamWindow)
        state.peerStreamWindow = size
        var overflows = false
        tell {
            $0.inspectStreams { stream in
                let window = Int64(stream.state.sendWindow) + change
                guard window <= Int64(Int32.max) else { return overflows = true }
                stream.state.sendWindow = Int32(clamping: window)
                windowOpened(stream)
            }
        }
        if overflows { fail(.flowControlError, "a window of more than 2^31 - 1") }
    }

    // MARK: PING, GOAWAY (§6.7, §6.8)

    func pingReceived(_ head: FrameHead, _ payload: Bytes) {
        guard head.stream == 0 else { return fail(.protocolError, "PING on a stream") }
        guard payload.count == 8 else { return fail(.frameSizeError, "PING of \(payload.count) octets") }
        guard admits(.ping) else { return }
        if head.has(FrameFlag.acknowledgement) { return tell { $0.pingAcknowledged(payload.base.bigEndian(at: 4)) } }
        guard mayAnswer(.ping) else { return }
        queue(FrameHead(length: 8, type: FrameType.ping, flags: FrameFlag.acknowledgement), payload)
    }

    func goAwayReceived(_ head: FrameHead, _ payload: Bytes) {
        guard head.stream == 0 else { return fail(.protocolError, "GOAWAY on a stream") }
        guard payload.count >= 8 else { return fail(.frameSizeError, "GOAWAY of \(payload.count) octets") }
        guard admits(.stray) else { return }
        let last = Int32(truncatingIfNeeded: payload.base.bigEndian(at: 0) & 0x7fff_ffff)
        guard last <= state.peerLastStream else {
            return fail(.protocolError, "GOAWAY with a last stream that rises to \(last)")
        }
        state.peerLastStream = last
        state.peerIsLeaving = true
        tell { $0.peerIsLeaving() }
        if !isServer { endUnserved(after: last, ErrorCode(rawValue: payload.base.bigEndian(at: 4))) }
        needsFlush()
    }

    /// The peer has not looked at the streams behind `last` (C1). An exchange that is told may try again elsewhere; but where the
    /// peer ends the connection for an error, the error may lie in what it has read last, and would end the next one, too. That is not so
    /// for INTERNAL_ERROR, the peer's own: nghttp2 says it when it has been sent too many resets, and those are other clients'.
    private func endUnserved(after last: Int32, _ code: ErrorCode) {
        let isError = code != .noError
        let suspect = isError && code != .internalError ? state.lastSentStream : 0
        let verdict = code == .refusedStream || code == .cancel ? .internalError : code
        tell {
            $0.forEachStream { stream in
                guard stream.id > last else { return }
                finish(stream, stream.id == suspect ? StreamEnd(verdict) : isError ? .cutOff : .refused)
            }
        }
    }

    // MARK: WINDOW_UPDATE (§6.9)

    func windowUpdateReceived(_ head: FrameHead, _ payload: Bytes) {
        guard payload.count == 4 else { return fail(.frameSizeError, "WINDOW_UPDATE of \(payload.count) octets") }
        guard admits(.windowUpdate) else { return }
        let increment = Int32(truncatingIfNeeded: payload.base.bigEndian(at: 0) & 0x7fff_ffff)
        if head.stream == 0 { return connectionWindowOpened(by: increment) }
        guard let stream = connection.streams[head.stream] else {
            // Streams end while updates are under way (§5.1).
            if !isPast(head.stream) { fail(.protocolError, "WINDOW_UPDATE on a stream that was not opened") }
            return
        }
        guard !stream.state.isReset else { return }
        guard increment > 0 else { return refuse(stream, .protocolError) }
        let (window, overflows) = stream.state.sendWindow.addingReportingOverflow(increment)
        guard !overflows else { return refuse(stream, .flowControlError) }
        stream.state.sendWindow = window
        windowOpened(stream)
    }

    private func connectionWindowOpened(by increment: Int32) {
        guard increment > 0 else { return fail(.protocolError, "WINDOW_UPDATE of 0") }
        let (window, overflows) = state.sendWindow.addingReportingOverflow(increment)
        guard !overflows else { return fail(.flowControlError, "a window of more than 2^31 - 1") }
        state.sendWindow = window
        guard window > 0, state.queues.hasStarved else { return }
        while let stream = state.queues.firstStarved {
            if window >= HTTP2Engine.worthwhileWindow { stream.state.stalledSince = 0 }
            enqueue(stream, .ready)
        }
        needsFlush()
    }

    private func windowOpened(_ stream: Stream) {
        if stream.state.sendWindow >= HTTP2Engine.worthwhileWindow { stream.state.stalledSince = 0 }
        guard stream.queue == .parked, stream.state.sendWindow > 0 else { return }
        enqueue(stream, .ready)
        needsFlush()
    }
}
