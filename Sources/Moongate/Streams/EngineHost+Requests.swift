/// What the requests of one client hold, and the limits of that: a client, or an upstream that takes nothing, could have us
/// keep a window for every stream.
extension EngineHost {
    /// No further request is taken until one has ended.
    @inline(__always) final var headsAreTooLarge: Bool {
        state.accounts.heldHeads > state.limits.requests && state.limits.requests > 0
    }

    /// Counts the head or the trailers of a request until its stream ends.
    @inline(__always) final func holdHead(_ stream: Stream, _ size: Int) {
        let size = Int32(clamping: size)
        stream.state.headSize += size
        state.accounts.heldHeads += Int(size)
    }

    /// Counts what calls of policies carry for a request, until they or its stream have ended. False: there is no room. One call
    /// may be as large as policies make it.
    final func holdCall(_ stream: Stream, _ octets: Int) -> Bool {
        let limit = state.limits.requests
        guard limit == 0 || state.accounts.heldCalls == 0 || state.accounts.heldCalls + octets <= limit else {
            abused(.collectedRequest)
            return false
        }
        stream.state.callSize += octets
        state.accounts.heldCalls += octets
        return true
    }

    final func releaseCall(_ stream: Stream, _ octets: Int) {
        let octets = min(octets, stream.state.callSize)
        stream.state.callSize -= octets
        state.accounts.heldCalls -= octets
    }

    /// Makes room where the requests of a client hold more than their limit: first what is kept for another attempt, then what policies
    /// collect. The first can be done without; and where the rest of a body is waited for, a window that is held would never open.
    /// - Returns: so much waits for upstreams that no more may come.
    final func makeRoomForBodies() -> Bool {
        let limit = state.limits.requests
        guard limit > 0 else { return false }
        var held = HeldBody()
        inspectStreams { stream in
            if let part = stream.report({ $0.heldRequest($1) }) { held.add(part) }
        }
        guard held.total > limit else { return false }
        if held.repeatable > 0 {
            forEachStream { stream in _ = stream.report { $0.forgoAttempts($1) } }
        }
        if held.collected > limit { endCollections(held.collected - limit) }
        return held.queued > limit
    }

    /// Ends the requests of which policies have collected most, until `excess` octets are free. One is left: how large a single
    /// body may be is the policies' limit.
    private final func endCollections(_ excess: Int) {
        var candidates: [(octets: Int, id: Int32)] = []
        inspectStreams { stream in
            let octets = stream.report { $0.heldRequest($1).collected } ?? 0
            if octets > 0 { candidates.append((octets, stream.id)) }
        }
        var left = excess
        for (octets, id) in candidates.sorted(by: { $0.octets > $1.octets }).dropLast() where left > 0 {
            guard let stream = streams[id] else { continue }
            left -= octets
            abused(.collectedRequest)
            _ = stream.report { $0.requestIsTooMuch($1) }
        }
    }
}
