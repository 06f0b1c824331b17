/// What comes: bytes are cut into frames, and each frame is handled.
extension HTTP2Engine {
    /// The next bytes of the connection, valid during the call.
    func receive(_ bytes: Bytes) {
        var input = bytes
        if state.prefaceLeft > 0 && !takePreface(&input) { return }
        while input.count > 0, !isClosed {
            if state.data.left > 0 {
                takeData(&input)
            } else if !state.partial.isEmpty {
                takeRest(&input)
            } else if !takeFrame(&input) {
                state.partial.append(input)
                break
            }
        }
        if !isClosed, connection.incompleteSince == 0,
            !state.partial.isEmpty || state.section.awaited != 0
        {
            connection.incompleteSince = now
            tell { $0.watchSoon() }
        }
    }

    /// RFC 9113 §3.4
    private func takePreface(_ input: inout Bytes) -> Bool {
        let wanted = HTTP2Engine.preface
        let start = wanted.count - state.prefaceLeft
        let count = min(input.count, state.prefaceLeft)
        guard input[0..<count].equals(wanted[start..<start + count]) else {
            fail(.protocolError, "not a client of HTTP/2")
            return false
        }
        state.prefaceLeft -= count
        input = input[count..<input.count]
        return true
    }

    /// Completes the frame whose beginning came before.
    private func takeRest(_ input: inout Bytes) {
        let have = state.partial.bytes
        let payload = have.count < FrameHead.size ? 0 : FrameHead(parsing: have.base).length
        let wanted = FrameHead.size + payload
        let count = min(input.count, wanted - have.count)
        state.partial.append(input[0..<count])
        input = input[count..<input.count]
        guard state.partial.bytes.count == wanted else { return }
        var whole = state.partial.bytes
        guard takeFrame(&whole) else { return }
        state.partial.clear()
        if state.section.awaited == 0 { connection.incompleteSince = 0 }
    }

    /// Handles the frame at the beginning of `input` and takes it off; false: not all of it is there, which is no matter
    /// for DATA.
    private func takeFrame(_ input: inout Bytes) -> Bool {
        guard input.count >= FrameHead.size else { return false }
        let head = FrameHead(parsing: input.base)
        guard isAcceptable(head) else { return true }
        state.handled &+= 1
        if head.type == FrameType.data {
            input = input[FrameHead.size..<input.count]
            beginData(head)
            return true
        }
        let size = FrameHead.size + head.length
        guard input.count >= size else { return false }
        let payload = input[FrameHead.size..<size]
        input = input[size..<input.count]
        handle(head, payload)
        return true
    }

    /// What is wrong with a frame whatever it holds.
    @inline(__always) private func isAcceptable(_ head: FrameHead) -> Bool {
        if head.length > FrameHead.maxPayload {
            fail(.frameSizeError, mistakenProtocol(head) ?? "a frame of \(head.length) octets")
        } else if state.section.awaited != 0
            && (head.type != FrameType.continuation || head.stream != state.section.awaited)
        {
            // §6.10
            fail(.protocolError, "a header section was interrupted")
        } else if !state.peerSentSettings && head.type != FrameType.settings {
            // §3.4
            fail(.protocolError, "the connection does not begin with SETTINGS")
        } else {
            return true
        }
        return false
    }

    /// What a peer speaks whose first bytes are no frame.
    private func mistakenProtocol(_ head: FrameHead) -> String? {
        guard !state.peerSentSettings else { return nil }
        switch head.length {
        case 0x48_5454: return "the peer speaks HTTP/1"  // "HTT"
        case 0x15_0300...0x15_0303: return "the peer speaks TLS"  // an alert
        default: return nil
        }
    }

    private func handle(_ head: FrameHead, _ payload: Bytes) {
        switch head.type {
        case FrameType.headers: headersReceived(head, payload)
        case FrameType.continuation: continuationReceived(head, payload)
        case FrameType.resetStream: resetStreamReceived(head, payload)
        case FrameType.windowUpdate: windowUpdateReceived(head, payload)
        case FrameType.settings: settingsReceived(head, payload)
        case FrameType.ping: pingReceived(head, payload)
        case FrameType.goAway: goAwayReceived(head, payload)
        case FrameType.priority: priorityReceived(head, payload)
        // §6.6, §8.4: clients cannot push, and we allow it to nobody.
        case FrameType.pushPromise: fail(.protocolError, "PUSH_PROMISE")
        default: _ = admits(.stray)
        }
    }

    // MARK: DATA (§6.1)

    private func beginData(_ head: FrameHead) {
        guard head.stream != 0 else { return fail(.protocolError, "DATA on stream 0") }
        let isPadded = head.has(FrameFlag.padded)
        guard !isPadded || head.length > 0 else { return fail(.frameSizeError, "DATA without its pad length") }
        // The connection's window counts for every frame, wanted or not, and opens on receipt, so that a slow stream does
        // not hold what all of them share (F1) before very many do.
        guard takeWindow(head.length) else { return fail(.flowControlError, "more DATA than the connection's window") }
        guard isKnown(head.stream, "DATA") else { return }
        state.data.left = head.length
        state.data.padding = 0
        state.data.lacksPadLength = isPadded
        state.data.endsStream = head.has(FrameFlag.endStream)
        state.data.stream = dataTarget(head)
        if !isPadded && !admitsBody(head.length) { return }
        if head.length == 0 { endData() }
    }

    /// Tells frames that bring something from those that only cost; false: one too many of these. What ends a stream is
    /// neither.
    @inline(__always) private func admitsBody(_ count: Int) -> Bool {
        if count >= HTTP2Engine.leastBody {
            connection.budget.frames &+= 1
            return true
        }
        return state.data.endsStream || admits(count == 0 ? .emptyData : .tinyData)
    }

    /// Octets of the head of a gRPC message.
    private static let leastBody = 5

    /// The stream that the frame is for; `nil`: what it holds is dropped.
    private func dataTarget(_ head: FrameHead) -> Stream? {
        guard let stream = connection.streams[head.stream] else {
            lateDataReceived(head)
            return nil
        }
        guard !stream.state.isReset else { return nil }
        if stream.state.peerEnded {
            refuse(stream, .streamClosed)
        } else if stream.state.receiving == .head {
            refuse(stream, .protocolError)
        } else if Int32(head.length) > stream.state.receiveWindow {
            refuse(stream, .flowControlError)
        } else {
            stream.state.receiveWindow -= Int32(head.length)
            return stream
        }
        return nil
    }

    /// DATA for a stream that we have reset was under way, and can be no more than the stream's window.
    private func lateDataReceived(_ head: FrameHead) {
        guard state.resets.take(head.length) else {
            return fail(.flowControlError, "more DATA for streams that were reset than their windows")
        }
        if head.has(FrameFlag.endStream) { state.resets.remove(head.stream) }
    }

    /// Hands on what has come of the frame.
    private func takeData(_ input: inout Bytes) {
        if state.data.lacksPadLength {
            let padding = Int(input[0])
            input = input[1..<input.count]
            state.data.lacksPadLength = false
            state.data.left -= 1
            guard padding <= state.data.left else { return fail(.protocolError, "more padding than payload") }
            state.data.padding = padding
            guard admitsBody(state.data.left - padding) else { return }
            // Nobody else passes padding on (F3).
            if let stream = state.data.stream { consume(stream, padding + 1) }
        }
        let count = min(input.count, state.data.left)
        let body = min(count, state.data.left - state.data.padding)
        state.data.left -= count
        if body > 0, let stream = state.data.stream { deliver(input[0..<body], stream) }
        input = input[count..<input.count]
        guard state.data.left == 0 else {
            // What is left may be padding alone.
            state.data.padding = min(state.data.padding, state.data.left)
            return
        }
        if !isClosed { endData() }
    }

    private func deliver(_ bytes: Bytes, _ stream: Stream) {
        guard !stream.state.isReset else { return }
        if stream.state.expected >= 0 {
            stream.state.expected -= Int64(bytes.count)
            // §8.1.1
            guard stream.state.expected >= 0 else { return malformed(stream) }
        }
        _ = stream.report { $0.dataReceived($1, bytes) }
    }

    private func endData() {
        guard let stream = state.data.stream else { return }
        state.data.stream = nil
        guard state.data.endsStream, !stream.state.isReset else { return }
        guard stream.state.expected <= 0 else { return malformed(stream) }
        stream.state.received(.ended)
        _ = stream.report { $0.dataEnded($1) }
        guard !isClosed, stream.isOpen else { return }
        finishIfEnded(stream)
    }

    /// A message that is malformed (§8.1.1): the stream ends, the connection goes on.
    func malformed(_ stream: Stream) { refuse(stream, .protocolError) }

    /// The peer has broken a rule about this stream (§5.4.2). It is counted as if the peer had reset the stream: both cost
    /// us the work on a request (CVE-2025-8671).
    func refuse(_ stream: Stream, _ code: ErrorCode) {
        guard !stream.state.isReset else { return }
        reset(stream, StreamEnd(code))
        if isServer { _ = admits(.madeYouReset) }
    }

    // MARK: Windows

    /// Counts received octets against the connection's window, and opens it again.
    private func takeWindow(_ count: Int) -> Bool {
        guard Int32(count) <= state.receiveWindow else { return false }
        state.receiveWindow -= Int32(count)
        state.consumed += Int32(count)
        if state.consumed >= state.window / 2 && !state.windowIsHeld { openWindow() }
        return true
    }

    // MARK: Streams that are not open

    /// Whether a frame may name this stream: one that was never opened is an error of the connection (§5.1), and so is
    /// one that the peer itself has ended.
    func isKnown(_ id: Int32, _ what: String) -> Bool {
        if connection.streams[id] != nil { return true }
        guard isPast(id) else {
            fail(.protocolError, "\(what) on a stream that was not opened")
            return false
        }
        guard state.resets.contains(id) else {
            fail(.streamClosed, "\(what) on a stream that has ended")
            return false
        }
        return true
    }

    /// The stream was open once, or was passed over.
    func isPast(_ id: Int32) -> Bool {
        let isPeers = (id & 1 == 1) == (isServer)
        return isPeers ? id <= state.lastPeerStream : id < state.nextStream && !isServer
    }
}
