/// A connection in its role, towards a client or towards an upstream: it *has* a `ConnectionIO`, which has the engine. The role decides
/// what the connection means; subclasses override what they want to hear of.
///
/// Lives on one worker's thread; its owner holds it until `closed`.
class Connection: EventHandler {
    final let io: ConnectionIO

    init(_ io: ConnectionIO) {
        self.io = io
        super.init()
        io.attach(self)
    }

    // MARK: For subclasses

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

    /// TLS is established.
    func established(_ session: TLSSession) {}

    /// TLS could not be established; the connection closes.
    func handshakeFailed(_ failure: IOFailure, _ session: TLSSession?) {}

    /// What was written is to arrive, and the connection has nothing more to say.
    /// - Returns: whether the transport is somebody else's from now on, who closes it; else it is closed at once.
    func linger(_ leaving: LeavingTransport) -> Bool { false }

    /// A stream asks for the connection to take no more requests.
    func drainIsWanted() {}

    /// The connection is over: the peer left, the transport failed, or both sides had nothing more to say. Called once, before the
    /// delegates of the streams that were open hear of it.
    func closed(_ reason: CloseReason) {}

    // MARK: The loop

    final override func ready(_ events: UInt32) { io.ready(events) }
    final override func flush() { io.flush() }
    final override func flushBorrowed() { io.flushBorrowed() }
    final override func again() { io.again() }

    // MARK: The connection

    final var isClosed: Bool { io.isClosed }
    final var engine: Engine { io.engine }

    /// Ends the connection now. Calling it again does nothing.
    ///
    /// - Parameter limits: how long the socket may stay for what was written, so that the peer gets it; `nil`: not at all. Only
    ///   clients have that time.
    final func close(_ reason: CloseReason, lingering limits: LingerSchedule.Limits? = nil) {
        io.end(reason, lingering: limits, hasFarewell: false)
    }
}
