/// What the responses to one client may hold: what it does not take lies here. All of it together has `limits.response_buffer`,
/// the first windows of its streams included.
extension EngineHost {
    /// Lets the response on the stream have so many octets more under way, if there is room.
    final func widen(_ stream: Stream, _ octets: Int) -> Bool {
        guard hasRoom(for: octets) else { return false }
        count(octets, for: stream)
        return true
    }

    /// The same for octets that a policy keeps until it has them all. Where there is no room, one response goes beyond the limit,
    /// or none would ever be complete; the others wait until their delegate is told (`roomIsBack`).
    final func keep(_ stream: Stream, _ octets: Int) -> Bool {
        if !hasRoom(for: octets) {
            guard state.accounts.exempt == nil || state.accounts.exempt == stream else {
                wait(stream)
                return false
            }
            state.accounts.exempt = stream
        }
        count(octets, for: stream)
        return true
    }

    /// So many of the octets are kept no more.
    final func release(_ stream: Stream, _ octets: Int) {
        count(-octets, for: stream)
        noteRoom()
    }

    /// The stream is gone, with its first window and what it kept.
    final func returnRoom(_ stream: Stream) {
        if stream.state.awaitsRoom {
            stream.state.awaitsRoom = false
            state.accounts.awaiting -= 1
        }
        if state.accounts.exempt == stream { state.accounts.exempt = nil }
        count(-stream.state.kept, for: stream)
        noteRoom()
    }

    /// Tells those who wait for room, first the one that came first. Called once a turn.
    @inline(__always) final func giveRoom() { if state.accounts.roomIsBack { giveRoomNow() } }

    private final func giveRoomNow() {
        state.accounts.roomIsBack = false
        var waiting: [Int32] = []
        inspectStreams { if $0.state.awaitsRoom { waiting.append($0.id) } }
        for id in waiting.sorted() {
            guard let stream = streams[id], stream.state.awaitsRoom else { continue }
            stream.state.awaitsRoom = false
            state.accounts.awaiting -= 1
            _ = stream.report { $0.roomIsBack($1) }
            if streams[id] == stream, stream.state.awaitsRoom { return }
        }
    }

    private final func hasRoom(for octets: Int) -> Bool {
        let limit = state.limits.responses
        return limit == 0
            || state.accounts.kept + streams.count * Int(ConnectionAccounts.firstWindow) + octets <= limit
    }

    private final func count(_ octets: Int, for stream: Stream) {
        state.accounts.kept += octets
        stream.state.kept += octets
    }

    private final func wait(_ stream: Stream) {
        guard !stream.state.awaitsRoom else { return }
        stream.state.awaitsRoom = true
        state.accounts.awaiting += 1
    }

    private final func noteRoom() {
        if state.accounts.exempt != nil, hasRoom(for: 0) { state.accounts.exempt = nil }
        guard state.accounts.awaiting > 0 else { return }
        state.accounts.roomIsBack = true
        needsFlush()
    }
}
