/// The windows of the peer's streams. A response begins with a small one, which is what we keep of each if its client takes
/// nothing, and gets a larger one once its client takes some, or at once where responses have been large.
extension HTTP2Connection {
    /// Octets that one response may have under way at first. A larger first window would spare responses of its size the wait
    /// for a WINDOW_UPDATE, and is kept for each stream of a client that takes nothing.
    static let firstWindow: Int32 = 4 * 1024
    /// The same where a large response is expected.
    private static let expectedWindow: Int32 = 64 * 1024
    /// How many requests expect one after a large response.
    private static let expectations = 16

    /// Lets the peer send `count` more bytes on the stream: they have been passed on.
    @inline(__always) func consume(_ stream: HTTP2StreamPointer, _ count: Int) {
        if core.pointee.windowIsHeld { needsFlush() }
        guard !isClosed, !stream.pointee.state.peerEnded, !stream.pointee.state.isReset else { return }
        stream.pointee.state.consumed += Int32(clamping: count)
        guard stream.pointee.state.consumed >= stream.pointee.state.window / 2 else { return }
        refill(stream)
    }

    private func refill(_ stream: HTTP2StreamPointer) {
        let state = stream.pointee.state
        let room = core.pointee.largestStreamWindow - state.window
        if room > 0 {
            // Most responses are small: they end within the window, and nobody needs an update for what is left of it.
            guard state.consumed >= state.window - state.window / 4 else { return }
            core.pointee.largeResponses = HTTP2Connection.expectations
        }
        let growth = room > 0 && mayWiden(stream, room) ? room : 0
        stream.pointee.state.window += growth
        stream.pointee.state.consumed = 0
        stream.pointee.state.receiveWindow += state.consumed + growth
        queueWindowUpdate(stream.pointee.id, state.consumed + growth)
    }

    /// A request leaves, and its response may be large.
    func widenAhead(_ stream: HTTP2StreamPointer) {
        core.pointee.largeResponses -= 1
        let room = min(HTTP2Connection.expectedWindow, core.pointee.largestStreamWindow) - stream.pointee.state.window
        guard room > 0, mayWiden(stream, room) else { return }
        stream.pointee.state.window += room
        stream.pointee.state.receiveWindow += room
        queueWindowUpdate(stream.pointee.id, room)
    }

    /// A stream ends: whether what the peer sent on it was more than a first window.
    @inline(__always) func noteSize(_ stream: HTTP2StreamPointer) {
        let unannounced = stream.pointee.state.window - stream.pointee.state.receiveWindow
        if unannounced > core.pointee.streamWindow { core.pointee.largeResponses = HTTP2Connection.expectations }
    }

    private func mayWiden(_ stream: HTTP2StreamPointer, _ room: Int32) -> Bool {
        stream.pointee.report { $0.mayWiden($1, by: room) } ?? false
    }
}
