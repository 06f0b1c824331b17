import Glibc

/// The end of a turn: streams take turns at sending a frame of their bodies each, and hear of their ends.
extension HTTP2Engine {
    /// - Parameters:
    ///   - buffer: where frames are put together, larger than one of them.
    ///   - mayWrite: the kernel takes bytes; else streams that are to be reset are the only ones to end. Those whose
    ///   last frame waits stay open: they count against the peer's limit, which bounds what waits.
    /// - Returns: false when the kernel takes no more.
    func serveReadyStreams(_ buffer: UnsafeMutableRawBufferPointer, mayWrite: Bool) -> Bool {
        guard let base = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
        var writer = FrameWriter(base: base, capacity: buffer.count)
        var goesOn = mayWrite
        if mayWrite { state.queues.unblock() }
        while !isClosed, let stream = state.queues.popReady() {
            if stream.state.isReset {
                sendReset(stream)
            } else if !goesOn {
                state.queues.put(stream, .blocked)
            } else if stream.state.sending == .ending {
                tellEnd(stream)
            } else {
                goesOn = sendBody(stream, &writer)
            }
        }
        guard goesOn, !isClosed else { return false }
        return writer.count == 0 || (takeOutput(into: &writer) && write(writer.bytes))
    }

    /// What was queued before goes first.
    private func takeOutput(into writer: inout FrameWriter) -> Bool {
        let bytes = connection.output.bytes
        guard bytes.count > 0 else { return true }
        // Much is not worth a copy.
        guard bytes.count <= HTTP2Engine.smallOutput else {
            let hasSent = write(writer.bytes)
            writer.count = 0
            guard hasSent else { return false }
            defer { connection.output.clear(outputs) }
            return write(bytes)
        }
        if writer.room < bytes.count {
            let hasSent = write(writer.bytes)
            writer.count = 0
            guard hasSent else { return false }
        }
        memcpy(writer.next, bytes.base, bytes.count)
        writer.count += bytes.count
        connection.output.clear(outputs)
        return true
    }

    private func write(_ bytes: Bytes) -> Bool { tell { $0.send(bytes) } }

    /// Up to so many octets join what is written anyway.
    private static let smallOutput = 16 * 1024

    // MARK: Bodies

    /// Sends one DATA frame; false when the kernel takes no more.
    private func sendBody(_ stream: Stream, _ writer: inout FrameWriter) -> Bool {
        guard stream.state.hasBody else { return true }
        guard takeOutput(into: &writer) else { return giveUp(stream) }
        if writer.room < FrameHead.size + FrameHead.maxPayload {
            guard write(writer.bytes) else {
                writer.count = 0
                return giveUp(stream)
            }
            writer.count = 0
        }
        let window = min(stream.state.sendWindow, state.sendWindow)
        let limit = min(Int(max(0, window)), FrameHead.maxPayload)
        let read = stream.report { $0.readBody($1, into: writer.next + FrameHead.size, limit: limit) }
        // What was read of a stream that is to be reset goes nowhere.
        guard !isClosed, !stream.state.isReset else { return !isClosed }
        switch read ?? .failed {
        case .bytes(let count):
            if count > 0 { writeData(stream, count, endsStream: false, &writer) }
            wantMore(stream, mayHaveMore: count > 0)
        case .later: wantMore(stream, mayHaveMore: false)
        case .last(let count):
            writeData(stream, count, endsStream: true, &writer)
            tellEnd(stream)
        case .lastBeforeTrailers(let count):
            if count > 0 { writeData(stream, count, endsStream: false, &writer) }
            // The delegate has submitted the trailers, and they stand in the output.
            guard takeOutput(into: &writer) else { return false }
        case .failed: reset(stream, .internalError)
        }
        return true
    }

    /// The kernel takes nothing now: the stream's turn comes again when it does.
    private func giveUp(_ stream: Stream) -> Bool {
        if !isClosed { enqueue(stream, .ready) }
        return false
    }

    private func writeData(
        _ stream: Stream, _ count: Int, endsStream: Bool, _ writer: inout FrameWriter
    ) {
        FrameHead(
            length: count, type: FrameType.data, flags: endsStream ? FrameFlag.endStream : 0, stream: stream.id
        ).write(to: writer.next)
        writer.count += FrameHead.size + count
        stream.state.sendWindow -= Int32(count)
        state.sendWindow -= Int32(count)
        connection.budget.frames &+= 1
    }

    /// The stream has not come to its end: it goes to the end of the row, or waits for a window or for `resume`.
    private func wantMore(_ stream: Stream, mayHaveMore: Bool) {
        guard stream.queue == .none else { return }
        if stream.state.sendWindow <= 0 {
            enqueue(stream, .parked)
            noteStalled(stream)
        } else if state.sendWindow <= 0 {
            enqueue(stream, .starved)
            noteStalled(stream)
        } else if mayHaveMore {
            enqueue(stream, .ready)
        }
    }

    private func noteStalled(_ stream: Stream) {
        guard isServer, stream.state.stalledSince == 0 else { return }
        stream.state.stalledSince = now
        tell { $0.watchSoon() }
    }

    // MARK: Ends

    /// Our last frame is on its way.
    private func tellEnd(_ stream: Stream) {
        stream.state.sent(.ended)
        // A call that was served to its end is honest work, however the stream ends afterwards.
        connection.budget.finished &+= 1
        _ = stream.report { $0.endSent($1) }
        guard !isClosed, stream.isOpen else { return }
        finishIfEnded(stream)
    }

    private func sendReset(_ stream: Stream) {
        let state = stream.state
        let end = state.reset ?? .cancelled
        queueReset(stream.id, ErrorCode(end), window: state.peerEnded ? nil : state.window)
        finish(stream, end)
    }

    // MARK: Queues

    /// Puts the stream behind the others, unless it stands there already.
    @inline(__always) func enqueue(_ stream: Stream, _ queue: StreamRecord.Queue) {
        state.queues.put(stream, queue)
    }

    @inline(__always) func dequeue(_ stream: Stream) { state.queues.remove(stream) }
}

/// Frames in a row in the loop's buffer, which is written as a whole.
private struct FrameWriter {
    let base: UnsafeMutablePointer<UInt8>
    let capacity: Int
    var count = 0

    @inline(__always) init(base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    @inline(__always) var room: Int { capacity - count }
    @inline(__always) var next: UnsafeMutablePointer<UInt8> { base + count }
    @inline(__always) var bytes: Bytes { Bytes(base, count) }
}
