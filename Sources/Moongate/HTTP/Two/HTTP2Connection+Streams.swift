import Glibc

/// What the exchange asks of a connection, and what that puts into its output. Everything is queued and leaves at the
/// end of the turn; asking a connection that is closed does nothing.
extension HTTP2Connection {
    /// Numbers of streams that we use up before a connection takes no more: there are 2³⁰ of one side.
    private static let lastStream = Int32.max - 2

    /// Octets of bodies that may wait in the output for the end of the turn; more stay with their owners.
    private static let copiedOutput = OutputPool.largeSize - 1024
    private static let lentOutput = 256 * 1024
    /// Octets of frames that may wait for a peer which does not read.
    private static let waitingOutput = 4 * 1024 * 1024
    /// Fewer octets are copied: each loan costs the kernel a piece more.
    private static let leastLoan = 4 * 1024

    var streams: HTTP2StreamList { core.pointee.streams }

    // MARK: Opening and ending

    @inline(__always) func attach(_ stream: HTTP2StreamPointer, _ id: Int32) {
        assert(loop.isCurrent, "a connection is used outside of its loop")
        assert(core.pointee.inspections == 0, "a stream opens while streams are looked at")
        core.pointee.streams.insert(stream, id, of: self)
        stream.pointee.state.sendWindow = core.pointee.peerStreamWindow
        stream.pointee.state.receiveWindow = core.pointee.streamWindow
        stream.pointee.state.window = core.pointee.streamWindow
    }

    func detach(_ stream: HTTP2StreamPointer) {
        assert(core.pointee.inspections == 0, "a stream ends while streams are looked at")
        dequeue(stream)
        core.pointee.heldHeads -= Int(stream.pointee.state.headSize)
        if stream.pointee.state.callSize != 0 { releaseCall(stream, stream.pointee.state.callSize) }
        core.pointee.streams.remove(stream)
        if core.pointee.data.stream == stream { core.pointee.data.stream = nil }
        if core.pointee.section.stream == stream {
            core.pointee.section.stream = nil
            core.pointee.section.target = nil
        }
        if stream.pointee.state.kept != 0 || core.pointee.awaiting > 0 || core.pointee.exempt != nil {
            returnRoom(stream)
        }
    }

    /// The stream is gone.
    func finish(_ stream: HTTP2StreamPointer, _ code: ErrorCode) {
        detach(stream)
        core.pointee.budget.ended &+= 1
        noteSize(stream)
        streamEnded(code)
        _ = stream.pointee.report { $0.streamClosed($1, code, nil) }
        roomIsThere()
        if core.pointee.weAreLeaving || core.pointee.peerIsLeaving { needsFlush() }
    }

    @inline(__always) func finishIfEnded(_ stream: HTTP2StreamPointer) {
        let state = stream.pointee.state
        if state.peerEnded && state.weEnded && !state.isReset { finish(stream, .noError) }
    }

    /// Opens a stream towards an upstream.
    /// - Parameter hasBody: the delegate will be asked for body bytes; otherwise the head ends the stream.
    func submitRequest(
        _ headers: HeaderList, hasBody: Bool, stream: HTTP2StreamPointer
    ) -> HeadSubmission {
        let id = core.pointee.nextStream
        guard !isClosed, !core.pointee.peerIsLeaving, id < HTTP2Connection.lastStream else { return .noStream }
        let size = headers.encodedSize
        guard size <= core.pointee.peerHeadLimit else { return excess(size) }
        core.pointee.nextStream = id + 2
        attach(stream, id)
        stream.pointee.state.isHead = headers.value(.method)?.equals("HEAD") ?? false
        encodeHead(headers, size, stream, endsStream: !hasBody)
        if core.pointee.largeResponses > 0 { widenAhead(stream) }
        if hasBody { beginBody(stream) }
        return .sent
    }

    /// Why a section of so many octets is not sent.
    private func excess(_ size: Int) -> HeadSubmission {
        guard core.pointee.peerSentSettings || acceptor != nil else { return .awaitsSettings }
        return .tooLarge(HeadSize(octets: size, limit: core.pointee.peerHeadLimit))
    }

    /// Answers a client.
    /// - Parameter isLeast: the head cannot be smaller, and leaves whatever the client says it takes.
    func submitResponse(
        _ stream: HTTP2StreamPointer, _ headers: HeaderList, hasBody: Bool, isLeast: Bool = false
    ) -> HeadSubmission {
        let submission = submitHead(headers, stream, endsStream: !hasBody, isLeast: isLeast)
        if hasBody, case .sent = submission { beginBody(stream) }
        return submission
    }

    private func beginBody(_ stream: HTTP2StreamPointer) {
        guard !isClosed, !stream.pointee.state.isReset else { return }
        stream.pointee.state.hasBody = true
        enqueue(stream, .ready)
    }

    /// Ends a stream's sending side with trailers.
    /// - Parameter isLeast: see `submitResponse`.
    func submitTrailers(
        _ stream: HTTP2StreamPointer, _ headers: HeaderList, isLeast: Bool = false
    ) -> HeadSubmission {
        let submission = submitHead(headers, stream, endsStream: true, isLeast: isLeast)
        if case .sent = submission { stream.pointee.state.hasBody = false }
        return submission
    }

    /// Puts body bytes, which lie in the loop's read buffer, straight into the output, as far as they may leave now: the delegate has nothing that comes before
    /// them. Spares a copy and the call of `readBody`.
    /// - Returns: how many were taken.
    func pass(_ stream: HTTP2StreamPointer, _ bytes: Bytes) -> Int {
        guard isTakingOutput, stream.pointee.state.hasBody, !stream.pointee.state.isReset else { return 0 }
        let window = min(stream.pointee.state.sendWindow, core.pointee.sendWindow)
        let count = min(bytes.count, Int(max(0, window)), FrameHead.maxPayload)
        let borrows = count >= HTTP2Connection.leastLoan && takesLoans && !core.pointee.loans.isFull
        let limit = borrows ? HTTP2Connection.lentOutput : HTTP2Connection.copiedOutput
        guard count > 0, core.pointee.output.count + core.pointee.loans.size + count <= limit else { return 0 }
        dequeue(stream)
        let head = FrameHead(length: count, type: FrameType.data, stream: stream.pointee.id)
        if borrows {
            borrow(head, bytes[0..<count])
        } else {
            queue(head, bytes[0..<count])
        }
        stream.pointee.state.sendWindow -= Int32(count)
        core.pointee.sendWindow -= Int32(count)
        core.pointee.budget.frames &+= 1
        return count
    }

    /// There is something to read again after `BodyRead.later`.
    @inline(__always) func resume(_ stream: HTTP2StreamPointer) {
        guard !isClosed, stream.pointee.state.hasBody, !stream.pointee.state.isReset else { return }
        if stream.pointee.queue == .none { enqueue(stream, .ready) }
        needsFlush()
    }

    func reset(_ stream: HTTP2StreamPointer, _ code: ErrorCode) {
        guard !isClosed, !stream.pointee.state.isReset else { return }
        stream.pointee.state.isReset = true
        stream.pointee.state.resetCode = code
        stream.pointee.state.hasBody = false
        enqueue(stream, .ready)
        needsFlush()
    }

    /// Streams that the peer lets us have open at a time; 100 until it says (C6).
    @inline(__always) var peerStreamLimit: Int { core.pointee.peerStreamLimit }

    // MARK: The connection

    /// Queues the preface, our settings, and what the connection's window is beyond its first size.
    /// - Parameter largestStreamWindow: see `begin`.
    func announce(
        _ side: Side, _ settings: [(HTTP2Setting, UInt32)], window: Int32, largestStreamWindow: Int32
    ) {
        if side == .server {
            core.pointee.prefaceLeft = HTTP2Connection.preface.count
        } else {
            core.pointee.peerHeadLimit = HTTP2State.smallHead
            core.pointee.output.append(HTTP2Connection.preface, library.outputs)
        }
        var payload: [UInt8] = []
        for (setting, value) in settings {
            withUnsafeBytes(of: setting.rawValue.bigEndian) { payload.append(contentsOf: $0) }
            withUnsafeBytes(of: value.bigEndian) { payload.append(contentsOf: $0) }
            switch setting {
            case .maxConcurrentStreams: core.pointee.streamLimit = Int(value)
            case .initialWindowSize:
                core.pointee.streamWindow = Int32(clamping: value)
                core.pointee.largestStreamWindow = max(core.pointee.streamWindow, largestStreamWindow)
            default: break
            }
        }
        payload.withBytes { queue(FrameHead(length: $0.count, type: FrameType.settings), $0) }
        guard window > core.pointee.window else { return }
        queueWindowUpdate(0, window - core.pointee.window)
        core.pointee.window = window
        core.pointee.receiveWindow = window
    }

    /// The first half of a graceful end: no stream is refused yet (C4).
    /// - Parameter reason: debug data, for people at the other end.
    func submitShutdownNotice(_ reason: StaticString = "") {
        guard !isClosed else { return }
        queueGoAway(.noError, last: Int32.max, reason)
    }

    /// The second half: streams that were begun are served, new ones are not (C4).
    func submitGoAway(_ code: ErrorCode = .noError, _ reason: StaticString = "") {
        guard !isClosed else { return }
        core.pointee.weAreLeaving = true
        core.pointee.lastServedStream = core.pointee.lastPeerStream
        queueGoAway(code, last: core.pointee.lastPeerStream, reason)
    }

    /// `pingAcknowledged` tells when the peer has seen everything sent before.
    func submitPing(_ number: UInt32 = 0) {
        guard !isClosed else { return }
        core.pointee.output.append(FrameHead(length: 8, type: FrameType.ping), 0, number, library.outputs)
        needsFlush()
    }

    // MARK: Output

    /// Encodes a header section of an open stream into the output, if the peer takes it.
    func submitHead(
        _ headers: HeaderList, _ stream: HTTP2StreamPointer, endsStream: Bool,
        isLeast: Bool = false
    ) -> HeadSubmission {
        guard !isClosed, !stream.pointee.state.isReset else { return .sent }
        let size = headers.encodedSize
        guard size <= core.pointee.peerHeadLimit || isLeast else { return excess(size) }
        encodeHead(headers, size, stream, endsStream: endsStream)
        return .sent
    }

    /// What leaves later must be encoded later.
    /// - Parameter fieldSize: of `headers`, as §6.5.2 counts it.
    private func encodeHead(
        _ headers: HeaderList, _ fieldSize: Int, _ stream: HTTP2StreamPointer, endsStream: Bool
    ) {
        let room = HeaderEncoder.bound(fieldSize: fieldSize)
        let heads = FrameHead.size * (2 + room / FrameHead.maxPayload)
        let frame = core.pointee.output.reserve(heads + room, library.outputs)
        let size = core.pointee.encoder.encode(headers, to: frame + FrameHead.size)
        var head = FrameHead(
            length: size, type: FrameType.headers, flags: endsStream ? FrameFlag.endStream : 0,
            stream: stream.pointee.id)
        if size <= FrameHead.maxPayload {
            head.flags |= FrameFlag.endHeaders
            head.write(to: frame)
            core.pointee.output.commit(FrameHead.size + size)
        } else {
            split(head, size, frame)
        }
        if endsStream {
            stream.pointee.state.endIsWritten = true
            enqueue(stream, .ready)
        }
        boundOutput()
        needsFlush()
    }

    /// A peer that has us answer and does not read is let go.
    private func boundOutput() {
        guard core.pointee.output.count > HTTP2Connection.waitingOutput, !closesAfterFlush else { return }
        abused(.unreadOutput)
        closeAfterFlush()
    }

    /// A section that is larger than a frame: HEADERS, then CONTINUATION (§6.10). `frame` has room for all heads.
    private func split(_ first: FrameHead, _ size: Int, _ frame: UnsafeMutablePointer<UInt8>) {
        let count = (size + FrameHead.maxPayload - 1) / FrameHead.maxPayload
        var index = count
        while index > 0 {
            index -= 1
            let from = index * FrameHead.maxPayload
            let length = min(FrameHead.maxPayload, size - from)
            let target = frame + from + index * FrameHead.size
            // The section lies behind the room for one head; from the last part on, none is overwritten.
            memmove(target + FrameHead.size, frame + FrameHead.size + from, length)
            var head = index == 0 ? first : FrameHead(length: 0, type: FrameType.continuation, stream: first.stream)
            head.length = length
            if index == count - 1 { head.flags |= FrameFlag.endHeaders }
            head.write(to: target)
        }
        core.pointee.output.commit(size + count * FrameHead.size)
    }

    /// Queues a frame whose payload stays where it is, in the loop's read buffer.
    private func borrow(_ head: FrameHead, _ payload: Bytes) {
        head.write(to: core.pointee.output.reserve(FrameHead.size, library.outputs))
        core.pointee.output.commit(FrameHead.size)
        if core.pointee.loans.isEmpty { loop.flushAfterRead(self) }
        core.pointee.loans.append(payload, behind: core.pointee.output.count, library.outputs)
    }

    func queue(_ head: FrameHead, _ payload: Bytes) {
        let target = core.pointee.output.reserve(FrameHead.size + payload.count, library.outputs)
        head.write(to: target)
        if payload.count > 0 { memcpy(target + FrameHead.size, payload.base, payload.count) }
        core.pointee.output.commit(FrameHead.size + payload.count)
        needsFlush()
    }

    func queueWindowUpdate(_ id: Int32, _ increment: Int32) {
        core.pointee.output.append(
            FrameHead(length: 4, type: FrameType.windowUpdate, stream: id), UInt32(bitPattern: increment),
            library.outputs)
        needsFlush()
    }

    /// - Parameter window: octets that the peer may have under way on the stream; `nil`: it has ended its side.
    func queueReset(_ id: Int32, _ code: ErrorCode, window: Int32?) {
        if let window { core.pointee.resets.insert(id, window: window) }
        core.pointee.output.append(
            FrameHead(length: 4, type: FrameType.resetStream, stream: id), code.rawValue, library.outputs)
        boundOutput()
        needsFlush()
    }

    func queueGoAway(_ code: ErrorCode, last: Int32, _ reason: StaticString = "") {
        let text = Bytes(reason)
        core.pointee.output.append(
            FrameHead(length: 8 + text.count, type: FrameType.goAway), UInt32(bitPattern: last), code.rawValue,
            library.outputs)
        if !text.isEmpty { core.pointee.output.append(text, library.outputs) }
        needsFlush()
    }
}
