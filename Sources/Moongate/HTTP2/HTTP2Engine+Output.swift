import Glibc

/// Frames, as they are put into the output.
extension HTTP2Engine {
    /// Octets of frames that may wait for a peer which does not read.
    private static let waitingOutput = 4 * 1024 * 1024

    /// Encodes a header section of an open stream into the output, if the peer takes it.
    func submitHead(
        _ headers: HeaderList, _ stream: Stream, endsStream: Bool,
        isLeast: Bool = false
    ) -> HeadSubmission {
        guard !isClosed, !stream.state.isReset else { return .sent }
        let size = headers.encodedSize
        guard size <= state.peerHeadLimit || isLeast else { return excess(size) }
        encodeHead(headers, size, stream, endsStream: endsStream)
        return .sent
    }

    /// What leaves later must be encoded later.
    /// - Parameter fieldSize: of `headers`, as §6.5.2 counts it.
    func encodeHead(
        _ headers: HeaderList, _ fieldSize: Int, _ stream: Stream, endsStream: Bool
    ) {
        let room = HeaderEncoder.bound(fieldSize: fieldSize)
        let heads = FrameHead.size * (2 + room / FrameHead.maxPayload)
        let frame = connection.output.reserve(heads + room, outputs)
        let size = state.encoder.encode(headers, to: frame + FrameHead.size)
        var head = FrameHead(
            length: size, type: FrameType.headers, flags: endsStream ? FrameFlag.endStream : 0,
            stream: stream.id)
        if size <= FrameHead.maxPayload {
            head.flags |= FrameFlag.endHeaders
            head.write(to: frame)
            connection.output.commit(FrameHead.size + size)
        } else {
            split(head, size, frame)
        }
        if endsStream {
            stream.state.sent(.ending)
            enqueue(stream, .ready)
        }
        boundOutput()
        needsFlush()
    }

    /// A peer that has us answer and does not read is let go.
    private func boundOutput() {
        guard connection.output.count > HTTP2Engine.waitingOutput, !connection.closesAfterFlush else { return }
        tell { $0.abused(.unreadOutput) }
        connection.closesAfterFlush = true
        needsFlush()
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
        connection.output.commit(size + count * FrameHead.size)
    }

    /// Queues a frame whose payload stays where it is, in the buffer that is being read.
    func borrow(_ head: FrameHead, _ payload: Bytes) {
        head.write(to: connection.output.reserve(FrameHead.size, outputs))
        connection.output.commit(FrameHead.size)
        if connection.borrowed.isEmpty { tell { $0.flushAfterRead() } }
        connection.borrowed.append(payload, behind: connection.output.count, outputs)
    }

    func queue(_ head: FrameHead, _ payload: Bytes) {
        let target = connection.output.reserve(FrameHead.size + payload.count, outputs)
        head.write(to: target)
        if payload.count > 0 { memcpy(target + FrameHead.size, payload.base, payload.count) }
        connection.output.commit(FrameHead.size + payload.count)
        needsFlush()
    }

    func queueWindowUpdate(_ id: Int32, _ increment: Int32) {
        connection.output.append(
            FrameHead(length: 4, type: FrameType.windowUpdate, stream: id), UInt32(bitPattern: increment),
            outputs)
        needsFlush()
    }

    /// - Parameter window: octets that the peer may have under way on the stream; `nil`: it has ended its side.
    func queueReset(_ id: Int32, _ code: ErrorCode, window: Int32?) {
        if let window { state.resets.insert(id, window: window) }
        connection.output.append(
            FrameHead(length: 4, type: FrameType.resetStream, stream: id), code.rawValue, outputs)
        boundOutput()
        needsFlush()
    }

    func queueGoAway(_ code: ErrorCode, last: Int32, _ reason: StaticString = "") {
        let text = Bytes(reason)
        connection.output.append(
            FrameHead(length: 8 + text.count, type: FrameType.goAway), UInt32(bitPattern: last), code.rawValue,
            outputs)
        if !text.isEmpty { connection.output.append(text, outputs) }
        needsFlush()
    }
}
