/// The windows of the peer's streams. A response begins with a small one, which is what we keep of each if its client takes
/// nothing, and gets a larger one once its client takes some, or at once where responses have been large.
extension HTTP2Engine {
    /// The same where a large response is expected.
    private static let expectedWindow: Int32 = 64 * 1024
    /// How many requests expect one after a large response.
    private static let expectations = 16

    /// Lets the peer send `count` more bytes on the stream: they have been passed on.
    @inline(__always) func consume(_ stream: Stream, _ count: Int) {
        if state.windowIsHeld { needsFlush() }
        guard !isClosed, !stream.state.peerEnded, !stream.state.isReset else { return }
        stream.state.consumed += Int32(clamping: count)
        guard stream.state.consumed >= stream.state.window / 2 else { return }
        refill(stream)
    }

    private func refill(_ stream: Stream) {
        let consumed = stream.state.consumed
        let window = stream.state.window
        let room = state.largestStreamWindow - window
        if room > 0 {
            // Most responses are small: they end within the window, and nobody needs an update for what is left of it.
            guard consumed >= window - window / 4 else { return }
            state.largeResponses = HTTP2Engine.expectations
        }
        let growth = room > 0 && mayWiden(stream, room) ? room : 0
        stream.state.window += growth
        stream.state.consumed = 0
        stream.state.receiveWindow += consumed + growth
        queueWindowUpdate(stream.id, consumed + growth)
    }

    /// A request leaves, and its response may be large.
    func widenAhead(_ stream: Stream) {
        state.largeResponses -= 1
        let room = min(HTTP2Engine.expectedWindow, state.largestStreamWindow) - stream.state.window
        guard room > 0, mayWiden(stream, room) else { return }
        stream.state.window += room
        stream.state.receiveWindow += room
        queueWindowUpdate(stream.id, room)
    }

    /// A stream ends: whether what the peer sent on it was more than a first window.
    @inline(__always) func noteSize(_ stream: Stream) {
        let unannounced = stream.state.window - stream.state.receiveWindow
        if unannounced > state.streamWindow { state.largeResponses = HTTP2Engine.expectations }
    }

    private func mayWiden(_ stream: Stream, _ room: Int32) -> Bool {
        stream.report { $0.mayWiden($1, by: room) } ?? false
    }
}
