/// A connection as its engine sees it: what the engine asks of it and tells it. The engine turns bytes into events and output; it knows
/// no loop, no socket and no clock but `ConnectionState.now`.
///
/// Overridden by `ConnectionIO`, and by tests that want an engine without a socket. All calls are made on the worker's thread.
class EngineHost {
    final let state: Handle<ConnectionState>
    /// Memory for output.
    final let outputs: OutputPool

    init(_ state: ConnectionState, outputs: OutputPool) {
        self.state = .allocate(state)
        self.outputs = outputs
    }

    deinit {
        state.pointer.pointee.destroy(outputs)
        state.free()
    }

    @inline(__always) final var isClosed: Bool { state.isClosed }
    @inline(__always) final var streams: OpenStreams { state.streams }

    // MARK: Requests of the engine

    /// Sends what is queued at the end of this turn.
    @inline(__always) final func needsFlush() {
        guard !state.isFlushPending else { return }
        state.isFlushPending = true
        scheduleFlush()
    }

    /// Has the engine flush at the end of this turn. Called once for each flush.
    func scheduleFlush() {}

    /// The output borrows bytes of the buffer that is being read: they are to leave before it is used again. Called once for each flush.
    func flushAfterRead() {}

    /// Writes as much as the transport takes and keeps the rest.
    /// - Returns: false unless everything went.
    func send(_ bytes: Bytes) -> Bool { false }

    /// Ends the connection after what is queued, without waiting for the end of the turn.
    /// - Parameter limits: how long the socket may stay for what was written; `nil`: not at all.
    func end(_ reason: CloseReason, lingering limits: LingerSchedule.Limits?) {}

    /// Gives up what the transport has not taken yet.
    func abandonOutput() {}

    /// Something waits for the peer: it is to be looked at before long.
    func watchSoon() {}

    // MARK: Events

    /// The peer opens a stream.
    /// - Returns: the stream with its delegate and owner set; `nil` to refuse it.
    func openStream() -> Stream? { nil }

    /// The peer's stream is open.
    func streamBegan() {}

    /// One of the streams is gone; called before the delegate's `streamClosed`, and so calls nobody else.
    func streamEnded() {}

    /// There may be room for another stream; called behind the delegate's `streamClosed`.
    func roomIsThere() {}

    /// The peer has said how it wants to be spoken to, or says it anew.
    func peerIsReady() {}

    /// The peer takes no new streams.
    func peerIsLeaving() {}

    /// The peer has answered a ping that was sent with `number`.
    func pingAcknowledged(_ number: UInt32) {}

    /// The peer is cut off for it, or one of its streams is.
    func abused(_ kind: Abuse) {}
}
