import Glibc

/// The end of a turn: streams take turns at sending a frame of their bodies each, and hear of their ends.
extension HTTP2Connection {
    /// - Parameter mayWrite: the kernel takes bytes; else streams that are to be reset are the only ones to end. Those whose
    ///   last frame waits stay open: they count against the peer's limit, which bounds what waits.
    /// - Returns: false when the kernel takes no more.
    func serveReadyStreams(mayWrite: Bool) -> Bool {
        guard let base = loop.writeBuffer.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
        var writer = FrameWriter(base: base, capacity: loop.writeBuffer.count)
        var goesOn = mayWrite
        if mayWrite { core.pointee.queues.unblock() }
        while !isClosed, let stream = core.pointee.queues.popReady() {
            if stream.pointee.state.isReset {
                sendReset(stream)
            } else if !goesOn {
                core.pointee.queues.put(stream, .blocked)
            } else if stream.pointee.state.endIsWritten {
                tellEnd(stream)
            } else {
                goesOn = sendBody(stream, &writer)
            }
        }
        guard goesOn, !isClosed else { return false }
        return writer.count == 0 || (takeOutput(into: &writer) && send(writer.bytes))
    }

    /// What was queued before goes first.
    private func takeOutput(into writer: inout FrameWriter) -> Bool {
        let bytes = core.pointee.output.bytes
        guard bytes.count > 0 else { return true }
        // Much is not worth a copy.
        guard bytes.count <= HTTP2Connection.smallOutput else {
            let hasSent = send(writer.bytes)
            writer.count = 0
            guard hasSent else { return false }
            defer { core.pointee.output.clear(library.outputs) }
            return send(bytes)
        }
        if writer.room < bytes.count {
            let hasSent = send(writer.bytes)
            writer.count = 0
            guard hasSent else { return false }
        }
        memcpy(writer.next, bytes.base, bytes.count)
        writer.count += bytes.count
        core.pointee.output.clear(library.outputs)
        return true
    }

    /// Up to so many octets join what is written anyway.
    private static let smallOutput = 16 * 1024

    // MARK: Bodies

    /// Sends one DATA frame; false when the kernel takes no more.
    private func sendBody(_ stream: HTTP2StreamPointer, _ writer: inout FrameWriter) -> Bool {
        guard stream.pointee.state.hasBody else { return true }
        guard takeOutput(into: &writer) else { return giveUp(stream) }
        if writer.room < FrameHead.size + FrameHead.maxPayload {
            guard send(writer.bytes) else {
                writer.count = 0
                return giveUp(stream)
            }
            writer.count = 0
        }
        let window = min(stream.pointee.state.sendWindow, core.pointee.sendWindow)
        let limit = min(Int(max(0, window)), FrameHead.maxPayload)
        let read = stream.pointee.report { $0.readBody($1, into: writer.next + FrameHead.size, limit: limit) }
        // What was read of a stream that is to be reset goes nowhere.
        guard !isClosed, !stream.pointee.state.isReset else { return !isClosed }
        switch read ?? .failed {
        case .bytes(let count):
            if count > 0 { writeData(stream, count, endsStream: false, &writer) }
            wantMore(stream, mayHaveMore: count > 0)
        case .later: wantMore(stream, mayHaveMore: false)
        case .last(let count):
            stream.pointee.state.hasBody = false
            writeData(stream, count, endsStream: true, &writer)
            tellEnd(stream)
        case .lastBeforeTrailers(let count):
            stream.pointee.state.hasBody = false
            if count > 0 { writeData(stream, count, endsStream: false, &writer) }
            // The delegate has submitted the trailers, and they stand in the output.
            guard takeOutput(into: &writer) else { return false }
        case .failed: reset(stream, .internalError)
        }
        return true
    }

    /// The kernel takes nothing now: the stream's turn comes again when it does.
    private func giveUp(_ stream: HTTP2StreamPointer) -> Bool {
        if !isClosed { enqueue(stream, .ready) }
        return false
    }

    private func writeData(
        _ stream: HTTP2StreamPointer, _ count: Int, endsStream: Bool, _ writer: inout FrameWriter
    ) {
        FrameHead(
            length: count, type: FrameType.data, flags: endsStream ? FrameFlag.endStream : 0, stream: stream.pointee.id
        ).write(to: writer.next)
        writer.count += FrameHead.size + count
        stream.pointee.state.sendWindow -= Int32(count)
        core.pointee.sendWindow -= Int32(count)
        core.pointee.budget.frames &+= 1
    }

    /// The stream has not come to its end: it goes to the end of the row, or waits for a window or for `resume`.
    private func wantMore(_ stream: HTTP2StreamPointer, mayHaveMore: Bool) {
        guard stream.pointee.queue == .none else { return }
        if stream.pointee.state.sendWindow <= 0 {
            stream.pointee.state.lacksWindow = true
            noteStalled(stream)
        } else if core.pointee.sendWindow <= 0 {
            enqueue(stream, .starved)
            noteStalled(stream)
        } else if mayHaveMore {
            enqueue(stream, .ready)
        }
    }

    private func noteStalled(_ stream: HTTP2StreamPointer) {
        guard acceptor != nil, stream.pointee.state.stalledSince == 0 else { return }
        stream.pointee.state.stalledSince = loop.now
        watchSoon()
    }

    // MARK: Ends

    /// Our last frame is on its way.
    private func tellEnd(_ stream: HTTP2StreamPointer) {
        stream.pointee.state.endIsWritten = false
        stream.pointee.state.weEnded = true
        // A call that was served to its end is honest work, however the stream ends afterwards.
        core.pointee.budget.finished &+= 1
        _ = stream.pointee.report { $0.endSent($1) }
        guard !isClosed, stream.pointee.isOpen else { return }
        finishIfEnded(stream)
    }

    private func sendReset(_ stream: HTTP2StreamPointer) {
        let code = stream.pointee.state.resetCode
        let state = stream.pointee.state
        queueReset(stream.pointee.id, code, window: state.peerEnded ? nil : state.window)
        finish(stream, code)
    }

    // MARK: Queues

    /// Puts the stream behind the others, unless it stands there already.
    @inline(__always) func enqueue(_ stream: HTTP2StreamPointer, _ queue: HTTP2Stream.Queue) {
        core.pointee.queues.put(stream, queue)
    }

    @inline(__always) func dequeue(_ stream: HTTP2StreamPointer) { core.pointee.queues.remove(stream) }
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
