/// What the requests of one client hold, and the limits of that: a client, or an upstream that takes nothing, could have us
/// keep a window for every stream.
extension HTTP2Connection {
    /// No further request is taken until one has ended.
    @inline(__always) var headsAreTooLarge: Bool {
        core.pointee.heldHeads > watchLimits.requests && watchLimits.requests > 0
    }

    /// Counts the head or the trailers of a request until its stream ends.
    @inline(__always) func holdHead(_ stream: HTTP2StreamPointer, _ size: Int) {
        let size = Int32(clamping: min(size, maxHeaderBytes))
        stream.pointee.state.headSize += size
        core.pointee.heldHeads += Int(size)
    }

    /// Counts what calls of policies carry for a request, until they or its stream have ended. False: there is no room. One call
    /// may be as large as policies make it.
    func holdCall(_ stream: HTTP2StreamPointer, _ octets: Int) -> Bool {
        let limit = watchLimits.requests
        guard limit == 0 || core.pointee.heldCalls == 0 || core.pointee.heldCalls + octets <= limit else {
            abused(.collectedRequest)
            return false
        }
        stream.pointee.state.callSize += octets
        core.pointee.heldCalls += octets
        return true
    }

    func releaseCall(_ stream: HTTP2StreamPointer, _ octets: Int) {
        let octets = min(octets, stream.pointee.state.callSize)
        stream.pointee.state.callSize -= octets
        core.pointee.heldCalls -= octets
    }

    /// Announces what has come on the connection, unless bodies hold too much.
    func openWindow() {
        core.pointee.windowIsHeld = bodiesAreTooLarge()
        guard !core.pointee.windowIsHeld else { return watchSoon() }
        queueWindowUpdate(0, core.pointee.consumed)
        core.pointee.receiveWindow += core.pointee.consumed
        core.pointee.consumed = 0
    }

    /// Looks again whether bodies hold too much.
    @inline(__always) func openHeldWindow() { if core.pointee.windowIsHeld { openWindow() } }

    /// Whether so much waits for upstreams that no more may come. What makes room without them is done first: where the
    /// rest of a body is waited for, a window that is held would never open.
    private func bodiesAreTooLarge() -> Bool {
        let limit = watchLimits.requests
        guard limit > 0, acceptor != nil else { return false }
        var held = HeldBody()
        inspectStreams { stream in
            if let part = stream.pointee.report({ $0.heldRequest($1) }) { held.add(part) }
        }
        guard held.total > limit else { return false }
        if held.repeatable > 0 {
            forEachStream { stream in _ = stream.pointee.report { $0.forgoAttempts($1) } }
        }
        if held.collected > limit { endCollections(held.collected - limit) }
        return held.queued > limit
    }

    /// Ends the requests of which policies have collected most, until `excess` octets are free. One is left: how large a single
    /// body may be is the policies' limit.
    private func endCollections(_ excess: Int) {
        var candidates: [(octets: Int, id: Int32)] = []
        inspectStreams { stream in
            let octets = stream.pointee.report { $0.heldRequest($1).collected } ?? 0
            if octets > 0 { candidates.append((octets, stream.pointee.id)) }
        }
        var left = excess
        for (octets, id) in candidates.sorted(by: { $0.octets > $1.octets }).dropLast() where left > 0 {
            guard let stream = streams[id] else { continue }
            left -= octets
            abused(.collectedRequest)
            _ = stream.pointee.report { $0.requestIsTooMuch($1) }
        }
    }
}
