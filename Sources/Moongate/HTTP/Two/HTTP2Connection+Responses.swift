/// What the responses to one client may hold: what it does not take lies here. All of it together has `limits.response_buffer`,
/// the first windows of its streams included.
extension HTTP2Connection {
    /// Lets the response on the stream have so many octets more under way, if there is room.
    func widen(_ stream: HTTP2StreamPointer, _ octets: Int) -> Bool {
        guard hasRoom(for: octets) else { return false }
        count(octets, for: stream)
        return true
    }

    /// The same for octets that a policy keeps until it has them all. Where there is no room, one response goes beyond the limit,
    /// or none would ever be complete; the others wait until their delegate is told (`roomIsBack`).
    func keep(_ stream: HTTP2StreamPointer, _ octets: Int) -> Bool {
        if !hasRoom(for: octets) {
            guard core.pointee.exempt == nil || core.pointee.exempt == stream else {
                wait(stream)
                return false
            }
            core.pointee.exempt = stream
        }
        count(octets, for: stream)
        return true
    }

    /// So many of the octets are kept no more.
    func release(_ stream: HTTP2StreamPointer, _ octets: Int) {
        count(-octets, for: stream)
        noteRoom()
    }

    /// The stream is gone, with its first window and what it kept.
    func returnRoom(_ stream: HTTP2StreamPointer) {
        if stream.pointee.state.awaitsRoom {
            stream.pointee.state.awaitsRoom = false
            core.pointee.awaiting -= 1
        }
        if core.pointee.exempt == stream { core.pointee.exempt = nil }
        count(-stream.pointee.state.kept, for: stream)
        noteRoom()
    }

    /// Tells those who wait for room, first the one that came first. Called once a turn.
    @inline(__always) func giveRoom() { if core.pointee.roomIsBack { giveRoomNow() } }

    private func giveRoomNow() {
        core.pointee.roomIsBack = false
        var waiting: [Int32] = []
        inspectStreams { if $0.pointee.state.awaitsRoom { waiting.append($0.pointee.id) } }
        for id in waiting.sorted() {
            guard let stream = streams[id], stream.pointee.state.awaitsRoom else { continue }
            stream.pointee.state.awaitsRoom = false
            core.pointee.awaiting -= 1
            _ = stream.pointee.report { $0.roomIsBack($1) }
            if streams[id] == stream, stream.pointee.state.awaitsRoom { return }
        }
    }

    private func hasRoom(for octets: Int) -> Bool {
        let limit = watchLimits.responses
        return limit == 0
            || core.pointee.kept + streams.count * Int(HTTP2Connection.firstWindow) + octets <= limit
    }

    private func count(_ octets: Int, for stream: HTTP2StreamPointer) {
        core.pointee.kept += octets
        stream.pointee.state.kept += octets
    }

    private func wait(_ stream: HTTP2StreamPointer) {
        guard !stream.pointee.state.awaitsRoom else { return }
        stream.pointee.state.awaitsRoom = true
        core.pointee.awaiting += 1
    }

    private func noteRoom() {
        if core.pointee.exempt != nil, hasRoom(for: 0) { core.pointee.exempt = nil }
        guard core.pointee.awaiting > 0 else { return }
        core.pointee.roomIsBack = true
        needsFlush()
    }
}
