/// Header sections (RFC 9113 §6.2, §6.10, §8).
extension HTTP2Engine {
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
        state.handled &+= HTTP2Engine.sectionWork
        guard let block = block(head, payload) else { return }
        guard beginSection(head) else { return }
        if head.has(FrameFlag.priority) && !takePriority(head, payload) { return }
        state.section.endsStream = head.has(FrameFlag.endStream)
        state.section.size = 0
        state.section.continuations = 0
        guard !head.has(FrameFlag.endHeaders) else { return decode(block) }
        state.section.awaited = head.stream
        state.section.block.append(block)
    }

    func continuationReceived(_ head: FrameHead, _ payload: Bytes) {
        guard state.section.awaited != 0 else { return fail(.protocolError, "CONTINUATION without HEADERS") }
        state.section.continuations += 1
        guard state.section.continuations <= HTTP2Engine.continuationLimit else {
            return cutOff(.continuation)
        }
        state.section.block.append(payload)
        guard state.section.block.bytes.count <= settings.maxHeaderBytes + HTTP2Engine.blockExcess else {
            return cutOff(.continuation)
        }
        guard head.has(FrameFlag.endHeaders) else { return }
        state.section.awaited = 0
        connection.incompleteSince = 0
        decode(state.section.block.bytes)
        state.section.block.clear()
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
        guard let stream = state.section.stream, HTTP2Engine.dependency(payload, at: start) == head.stream
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
        state.section.stream = nil
        state.section.target = nil
        guard id != 0 else {
            fail(.protocolError, "HEADERS on stream 0")
            return false
        }
        if let stream = connection.streams[id] {
            continueStream(stream, endsStream: head.has(FrameFlag.endStream))
            return true
        }
        if isServer, id & 1 == 1, id > state.lastPeerStream {
            openStream(id)
            return true
        }
        guard isKnown(id, "HEADERS"), admits(.stray) else { return false }
        if head.has(FrameFlag.endStream) { state.resets.remove(id) }
        return true
    }

    private func openStream(_ id: Int32) {
        state.lastPeerStream = id
        state.section.kind = .request
        state.section.check = MessageCheck(.request)
        // §6.8: what comes behind our GOAWAY is not for us.
        guard id <= state.lastServedStream else {
            state.resets.insert(id, window: state.streamWindow)
            _ = admits(.stray)
            return
        }
        // §5.1.2: the peer knows how many it may have.
        let isOneTooMany = connection.streams.count >= state.streamLimit || tell { $0.headsAreTooLarge }
        guard !isOneTooMany || admits(.madeYouReset) else { return }
        guard !isOneTooMany, let stream = tell({ $0.openStream() }) else {
            return queueReset(id, .refusedStream, window: state.streamWindow)
        }
        attach(stream, id)
        tell { $0.streamBegan() }
        state.section.stream = stream
        state.section.target = stream.report { $0.sectionBegan($1, .request) } ?? nil
    }

    /// Trailers, or a response's head.
    @inline(__always) private func continueStream(_ stream: Stream, endsStream: Bool) {
        guard !stream.state.isReset else { return }
        guard !stream.state.peerEnded else { return refuse(stream, .streamClosed) }
        let isFurther = stream.state.receiving != .head
        let section = isFurther ? StreamDelegate.Section.further : .response
        state.section.stream = stream
        state.section.kind = section
        let trailers = !isServer ? MessageCheck.Kind.trailers : .requestTrailers
        state.section.check = MessageCheck(isFurther ? trailers : .response)
        state.section.target = stream.report { $0.sectionBegan($1, section) } ?? nil
    }

    // MARK: What it says

    private func decode(_ block: Bytes) {
        state.handled &+= UInt64(truncatingIfNeeded: block.count) / HTTP2Engine.blockWork
        let section = withUnsafeMutablePointer(to: &state.pointer.pointee.section) { $0 }
        let isWanted = section.pointee.stream != nil
        let limit = settings.maxHeaderBytes
        let isSound = state.decoder.decode(block) { field in
            guard isWanted else { return }
            section.pointee.size += field.name.count + field.value.count + 32
            guard section.pointee.size <= limit else { return }
            section.pointee.check.take(field)
            section.pointee.target?.append(
                field.id, field.name, field.value, neverIndexed: field.neverIndexed)
        }
        guard isSound else { return fail(.compressionError, "a header block that cannot be decoded") }
        guard let stream = state.section.stream else { return }
        let fields = state.section.target?.count ?? 0
        state.section.stream = nil
        state.section.target = nil
        endSection(stream, tooLarge: state.section.size > settings.maxHeaderBytes || fields > settings.maxHeaderFields)
    }

    private func endSection(_ stream: Stream, tooLarge: Bool) {
        guard stream.isOpen, !stream.state.isReset else { return }
        let endsStream = state.section.endsStream
        // Fields may have been left out: what is there says nothing about the message.
        if !tooLarge { state.section.check.finish(endsStream: endsStream) }
        if tooLarge && !admits(.oversizedHeaders) { return }
        if isServer { tell { $0.holdHead(stream, min(state.section.size, settings.maxHeaderBytes)) } }
        guard !state.section.check.isMalformed else { return malformed(stream) }
        if state.section.kind != .further && !tooLarge && !state.section.check.isInterim {
            stream.state.received(.body)
            noteLength(stream)
        }
        if tooLarge {
            // Trailers end a stream, or there could be any number of them.
            guard state.section.kind != .further || endsStream else { return malformed(stream) }
            if stream.state.receiving == .head { stream.state.received(.body) }
        }
        if state.section.check.isInterim && !admits(.informational) { return }
        guard state.section.kind != .further || !tell({ $0.headsAreTooLarge }) else {
            return refuse(stream, .enhanceYourCalm)
        }
        guard !endsStream || stream.state.expected <= 0 else { return malformed(stream) }
        if endsStream { stream.state.received(.ended) }
        let section = state.section.kind
        _ = stream.report { $0.sectionEnded($1, section, endsStream: endsStream, tooLarge: tooLarge) }
        guard endsStream, !isClosed, stream.isOpen else { return }
        finishIfEnded(stream)
    }

    /// Answers to HEAD and those with some statuses have no content: `content-length` there says how long it would have been
    /// (RFC 9110 §8.6), and octets of DATA make the message malformed (RFC 9113 §8.1.1).
    private func noteLength(_ stream: Stream) {
        let check = state.section.check
        let isEmpty = stream.state.isHead || HTTPStatus.excludesContent(check.status)
        stream.state.expected = isEmpty ? 0 : check.contentLength
    }
}
