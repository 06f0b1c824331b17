/// What is asked of streams. Everything is queued and leaves at the end of the turn; asking a connection that is closed does nothing.
extension HTTP2Engine {
    /// Numbers of streams that we use up before a connection takes no more: there are 2³⁰ of one side.
    private static let lastStream = Int32.max - 2
    /// Octets of bodies that may wait in the output for the end of the turn; more stay with their owners.
    private static let copiedOutput = OutputPool.largeSize - 1024
    private static let borrowedOutput = 256 * 1024
    /// Fewer octets are copied: each borrowed piece costs the kernel one more.
    private static let leastBorrowed = 4 * 1024

    // MARK: Opening and ending

    @inline(__always) func attach(_ stream: Stream, _ id: Int32) {
        assert(connection.inspections == 0, "a stream opens while streams are looked at")
        tell { connection.streams.insert(stream, id, of: $0) }
        stream.state.sendWindow = state.peerStreamWindow
        stream.state.receiveWindow = state.streamWindow
        stream.state.window = state.streamWindow
    }

    func detach(_ stream: Stream) {
        assert(connection.inspections == 0, "a stream ends while streams are looked at")
        dequeue(stream)
        connection.accounts.heldHeads -= Int(stream.state.headSize)
        if stream.state.callSize != 0 { tell { $0.releaseCall(stream, stream.state.callSize) } }
        connection.streams.remove(stream)
        if state.data.stream == stream { state.data.stream = nil }
        if state.section.stream == stream {
            state.section.stream = nil
            state.section.target = nil
        }
        if stream.state.kept != 0 || connection.accounts.awaiting > 0 || connection.accounts.exempt != nil {
            tell { $0.returnRoom(stream) }
        }
    }

    /// The stream is gone.
    func finish(_ stream: Stream, _ end: StreamEnd) {
        detach(stream)
        connection.budget.ended &+= 1
        noteSize(stream)
        tell { $0.streamEnded() }
        _ = stream.report { $0.streamClosed($1, end, nil) }
        tell { $0.roomIsThere() }
        if state.weAreLeaving || state.peerIsLeaving { needsFlush() }
    }

    @inline(__always) func finishIfEnded(_ stream: Stream) {
        if stream.state.isOver { finish(stream, .complete) }
    }

    /// Opens a stream towards an upstream.
    /// - Parameter hasBody: the delegate will be asked for body bytes; otherwise the head ends the stream.
    func submitRequest(
        _ stream: Stream, _ headers: HeaderList, hasBody: Bool
    ) -> HeadSubmission {
        let id = state.nextStream
        guard !isClosed, !state.peerIsLeaving, id < HTTP2Engine.lastStream else { return .noStream }
        let size = headers.encodedSize
        guard size <= state.peerHeadLimit else { return excess(size) }
        state.nextStream = id + 2
        attach(stream, id)
        stream.state.isHead = headers.value(.method)?.equals("HEAD") ?? false
        encodeHead(headers, size, stream, endsStream: !hasBody)
        if state.largeResponses > 0 { widenAhead(stream) }
        if hasBody { beginBody(stream) }
        return .sent
    }

    /// Why a section of so many octets is not sent.
    func excess(_ size: Int) -> HeadSubmission {
        guard state.peerSentSettings || isServer else { return .awaitsSettings }
        return .tooLarge(HeadSize(octets: size, limit: state.peerHeadLimit))
    }

    /// Answers a client.
    /// - Parameter isLeast: the head cannot be smaller, and leaves whatever the client says it takes.
    func submitResponse(
        _ stream: Stream, _ headers: HeaderList, hasBody: Bool, isLeast: Bool = false
    ) -> HeadSubmission {
        let submission = submitHead(headers, stream, endsStream: !hasBody, isLeast: isLeast)
        if hasBody, case .sent = submission { beginBody(stream) }
        return submission
    }

    private func beginBody(_ stream: Stream) {
        guard !isClosed, !stream.state.isReset else { return }
        stream.state.sent(.body)
        enqueue(stream, .ready)
    }

    /// Ends a stream's sending side with trailers.
    /// - Parameter isLeast: see `submitResponse`.
    func submitTrailers(
        _ stream: Stream, _ headers: HeaderList, isLeast: Bool = false
    ) -> HeadSubmission {
        submitHead(headers, stream, endsStream: true, isLeast: isLeast)
    }

    /// Puts body bytes, which lie in the buffer that is being read, straight into the output, as far as they may leave now: the delegate
    /// has nothing that comes before them. Spares a copy and the call of `readBody`.
    /// - Returns: how many were taken.
    func pass(_ stream: Stream, _ bytes: Bytes) -> Int {
        guard connection.isTakingOutput, stream.state.hasBody, !stream.state.isReset else { return 0 }
        let window = min(stream.state.sendWindow, state.sendWindow)
        let count = min(bytes.count, Int(max(0, window)), FrameHead.maxPayload)
        let borrows = count >= HTTP2Engine.leastBorrowed && connection.takesBorrowed && !connection.borrowed.isFull
        let limit = borrows ? HTTP2Engine.borrowedOutput : HTTP2Engine.copiedOutput
        guard count > 0, connection.output.count + connection.borrowed.size + count <= limit else { return 0 }
        dequeue(stream)
        let head = FrameHead(length: count, type: FrameType.data, stream: stream.id)
        if borrows {
            borrow(head, bytes[0..<count])
        } else {
            queue(head, bytes[0..<count])
        }
        stream.state.sendWindow -= Int32(count)
        state.sendWindow -= Int32(count)
        connection.budget.frames &+= 1
        return count
    }

    /// There is something to read again after `BodyRead.later`.
    @inline(__always) func resume(_ stream: Stream) {
        guard !isClosed, stream.state.hasBody, !stream.state.isReset else { return }
        if stream.queue == .none || stream.queue == .parked { enqueue(stream, .ready) }
        needsFlush()
    }

    func reset(_ stream: Stream, _ end: StreamEnd) {
        guard !isClosed, !stream.state.isReset else { return }
        stream.state.requestReset(end)
        enqueue(stream, .ready)
        needsFlush()
    }
}
