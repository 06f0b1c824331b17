/// Header sections (RFC 9113 §6.2, §6.10, §8).
extension HTTP2Connection {
    /// What counts is the size of the fields, not into how many frames a peer cuts them (F5); but frames cost, too
    /// (CVE-2024-27316).
    private static let continuationLimit = 128
    /// By how much a block may exceed what its fields may take, so that it can be refused alone: a block that is not
    /// decoded would cost the connection.
    private static let blockExcess = 64 * 1024
    /// What a header section is worth beyond its frame, see `HTTP2State.handled`.
    private static let sectionWork: UInt64 = 7
    /// So many octets of a block, each of which may stand for a field, are worth a frame.
    private static let blockWork: UInt64 = 32

    func headersReceived(_ head: FrameHead, _ payload: Bytes) {
        core.pointee.handled &+= HTTP2Connection.sectionWork
        guard let block = block(head, payload) else { return }
        guard beginSection(head) else { return }
        if head.has(FrameFlag.priority) && !takePriority(head, payload) { return }
        core.pointee.section.endsStream = head.has(FrameFlag.endStream)
        core.pointee.section.size = 0
        core.pointee.section.continuations = 0
        guard !head.has(FrameFlag.endHeaders) else { return decode(block) }
        core.pointee.section.awaited = head.stream
        core.pointee.section.block.append(block)
    }

    func continuationReceived(_ head: FrameHead, _ payload: Bytes) {
        guard core.pointee.section.awaited != 0 else { return fail(.protocolError, "CONTINUATION without HEADERS") }
        core.pointee.section.continuations += 1
        guard core.pointee.section.continuations <= HTTP2Connection.continuationLimit else {
            return cutOff(.continuation)
        }
        core.pointee.section.block.append(payload)
        guard core.pointee.section.block.bytes.count <= maxHeaderBytes + HTTP2Connection.blockExcess else {
            return cutOff(.continuation)
        }
        guard head.has(FrameFlag.endHeaders) else { return }
        core.pointee.section.awaited = 0
        core.pointee.incompleteSince = 0
        decode(core.pointee.section.block.bytes)
        core.pointee.section.block.clear()
    }

    /// The payload without padding and priority; `nil`: the connection has failed.
    @inline(__always) private func block(_ head: FrameHead, _ payload: Bytes) -> Bytes? {
        head.has(FrameFlag.padded | FrameFlag.priority) ? bareBlock(head, payload) : payload
    }

    private func bareBlock(_ head: FrameHead, _ payload: Bytes) -> Bytes? {
        let isPadded = head.has(FrameFlag.padded)
        let start = (isPadded ? 1 : 0) + (head.has(FrameFlag.priority) ? 5 : 0)
        guard payload.count >= start else {
            fail(.frameSizeError, "HEADERS of \(payload.count) octets")
            return nil
        }
        let end = payload.count - (isPadded ? Int(payload[0]) : 0)
        guard start <= end else {
            fail(.protocolError, "HEADERS with more padding than payload")
            return nil
        }
        return payload[start..<end]
    }

    /// Refuses a stream that depends on itself (RFC 7540 §5.3.1); its block is decoded all the same.
    /// - Returns: false when the connection has failed.
    private func takePriority(_ head: FrameHead, _ payload: Bytes) -> Bool {
        let start = head.has(FrameFlag.padded) ? 1 : 0
        guard let stream = core.pointee.section.stream, HTTP2Connection.dependency(payload, at: start) == head.stream
        else { return true }
        refuse(stream, .protocolError)
        return !isClosed
    }

    /// The stream that priority fields name; the first bit says whether the dependency is exclusive.
    static func dependency(_ payload: Bytes, at start: Int) -> Int32 {
        Int32(truncatingIfNeeded: payload.base.bigEndian(at: start) & 0x7fff_ffff)
    }

    // MARK: Whose it is

    /// False: the connection has failed.
    private func beginSection(_ head: FrameHead) -> Bool {
        let id = head.stream
        core.pointee.section.stream = nil
        core.pointee.section.target = nil
        guard id != 0 else {
            fail(.protocolError, "HEADERS on stream 0")
            return false
        }
        if let stream = core.pointee.streams[id] {
            continueStream(stream, endsStream: head.has(FrameFlag.endStream))
            return true
        }
        if let acceptor, id & 1 == 1, id > core.pointee.lastPeerStream {
            openStream(id, acceptor)
            return true
        }
        guard isKnown(id, "HEADERS"), admits(.stray) else { return false }
        if head.has(FrameFlag.endStream) { core.pointee.resets.remove(id) }
        return true
    }

    private func openStream(_ id: Int32, _ acceptor: StreamDelegate) {
        core.pointee.lastPeerStream = id
        core.pointee.section.kind = .request
        core.pointee.section.check = MessageCheck(.request)
        // §6.8: what comes behind our GOAWAY is not for us.
        guard id <= core.pointee.lastServedStream else {
            core.pointee.resets.insert(id, window: core.pointee.streamWindow)
            _ = admits(.stray)
            return
        }
        // §5.1.2: the peer knows how many it may have.
        let isOneTooMany = streams.count >= core.pointee.streamLimit || headsAreTooLarge
        guard !isOneTooMany || admits(.madeYouReset) else { return }
        guard !isOneTooMany, let stream = acceptor.streamOpened(self) else {
            return queueReset(id, .refusedStream, window: core.pointee.streamWindow)
        }
        stream.pointee.delegate = Unmanaged.passUnretained(acceptor)
        attach(stream, id)
        streamBegan()
        core.pointee.section.stream = stream
        core.pointee.section.target = stream.pointee.report { $0.sectionBegan($1, .request) } ?? nil
    }

    /// Trailers, or a response's head.
    @inline(__always) private func continueStream(_ stream: HTTP2StreamPointer, endsStream: Bool) {
        guard !stream.pointee.state.isReset else { return }
        guard !stream.pointee.state.peerEnded else { return refuse(stream, .streamClosed) }
        let section = stream.pointee.state.hasHead ? StreamDelegate.Section.further : .response
        core.pointee.section.stream = stream
        core.pointee.section.kind = section
        let trailers = acceptor == nil ? MessageCheck.Kind.trailers : .requestTrailers
        core.pointee.section.check = MessageCheck(stream.pointee.state.hasHead ? trailers : .response)
        core.pointee.section.target = stream.pointee.report { $0.sectionBegan($1, section) } ?? nil
    }

    // MARK: What it says

    private func decode(_ block: Bytes) {
        core.pointee.handled &+= UInt64(truncatingIfNeeded: block.count) / HTTP2Connection.blockWork
        let section = withUnsafeMutablePointer(to: &core.pointee.section) { $0 }
        let isWanted = section.pointee.stream != nil
        let limit = maxHeaderBytes
        let isSound = core.pointee.decoder.decode(block) { field in
            guard isWanted else { return }
            section.pointee.size += field.name.count + field.value.count + 32
            guard section.pointee.size <= limit else { return }
            section.pointee.check.take(field)
            section.pointee.target?.append(
                field.id, field.name, field.value, neverIndexed: field.neverIndexed)
        }
        guard isSound else { return fail(.compressionError, "a header block that cannot be decoded") }
        guard let stream = core.pointee.section.stream else { return }
        let fields = core.pointee.section.target?.count ?? 0
        core.pointee.section.stream = nil
        core.pointee.section.target = nil
        endSection(stream, tooLarge: core.pointee.section.size > maxHeaderBytes || fields > maxHeaderFields)
    }

    private func endSection(_ stream: HTTP2StreamPointer, tooLarge: Bool) {
        guard stream.pointee.isOpen, !stream.pointee.state.isReset else { return }
        let endsStream = core.pointee.section.endsStream
        // Fields may have been left out: what is there says nothing about the message.
        if !tooLarge { core.pointee.section.check.finish(endsStream: endsStream) }
        if tooLarge && !admits(.oversizedHeaders) { return }
        if acceptor != nil { holdHead(stream, core.pointee.section.size) }
        guard !core.pointee.section.check.isMalformed else { return malformed(stream) }
        if core.pointee.section.kind != .further && !tooLarge && !core.pointee.section.check.isInterim {
            stream.pointee.state.hasHead = true
            noteLength(stream)
        }
        if tooLarge {
            // Trailers end a stream, or there could be any number of them.
            guard core.pointee.section.kind != .further || endsStream else { return malformed(stream) }
            stream.pointee.state.hasHead = true
        }
        if core.pointee.section.check.isInterim && !admits(.informational) { return }
        guard core.pointee.section.kind != .further || !headsAreTooLarge else {
            return refuse(stream, .enhanceYourCalm)
        }
        guard !endsStream || stream.pointee.state.expected <= 0 else { return malformed(stream) }
        stream.pointee.state.peerEnded = endsStream
        let section = core.pointee.section.kind
        _ = stream.pointee.report { $0.sectionEnded($1, section, endsStream: endsStream, tooLarge: tooLarge) }
        guard endsStream, !isClosed, stream.pointee.isOpen else { return }
        finishIfEnded(stream)
    }

    /// Answers to HEAD and those with some statuses have no content: `content-length` there says how long it would have been
    /// (RFC 9110 §8.6), and octets of DATA make the message malformed (RFC 9113 §8.1.1).
    private func noteLength(_ stream: HTTP2StreamPointer) {
        let check = core.pointee.section.check
        let isEmpty = stream.pointee.state.isHead || HTTPStatus.excludesContent(check.status)
        stream.pointee.state.expected = isEmpty ? 0 : check.contentLength
    }
}
