/// The protocol that a connection speaks. A verb costs a comparison and a direct call: there are some 25 of them in a request.
///
/// The engine itself belongs to the `ConnectionIO` whose field this is.
enum Engine {
    /// The connection is being made.
    case none
    case http2(Unmanaged<HTTP2Engine>)

    @inline(__always) private func with(_ body: (HTTP2Engine) -> Void) {
        switch self {
        case .none: break
        case .http2(let engine): engine._withUnsafeGuaranteedRef(body)
        }
    }

    @inline(__always) private func ask<Result>(otherwise result: Result, _ body: (HTTP2Engine) -> Result) -> Result {
        switch self {
        case .none: result
        case .http2(let engine): engine._withUnsafeGuaranteedRef(body)
        }
    }

    // MARK: Streams

    @inline(__always) func resume(_ stream: Stream) { with { $0.resume(stream) } }
    @inline(__always) func pass(_ stream: Stream, _ bytes: Bytes) -> Int {
        ask(otherwise: 0) { $0.pass(stream, bytes) }
    }
    @inline(__always) func consume(_ stream: Stream, _ count: Int) { with { $0.consume(stream, count) } }
    @inline(__always) func reset(_ stream: Stream, _ end: StreamEnd) { with { $0.reset(stream, end) } }

    @inline(__always) func submitRequest(_ stream: Stream, _ headers: HeaderList, hasBody: Bool) -> HeadSubmission {
        ask(otherwise: .sent) { $0.submitRequest(stream, headers, hasBody: hasBody) }
    }

    @inline(__always) func submitInterim(_ stream: Stream, _ headers: HeaderList) {
        with { _ = $0.submitHead(headers, stream, endsStream: false) }
    }

    @inline(__always) func submitResponse(
        _ stream: Stream, _ headers: HeaderList, hasBody: Bool, isLeast: Bool
    ) -> HeadSubmission {
        ask(otherwise: .sent) { $0.submitResponse(stream, headers, hasBody: hasBody, isLeast: isLeast) }
    }

    @inline(__always) func submitTrailers(_ stream: Stream, _ headers: HeaderList, isLeast: Bool) -> HeadSubmission {
        ask(otherwise: .sent) { $0.submitTrailers(stream, headers, isLeast: isLeast) }
    }

    // MARK: The connection

    /// Queues what the protocol begins with.
    func begin() { with { $0.begin() } }

    @inline(__always) func receive(_ bytes: Bytes) { with { $0.receive(bytes) } }

    /// What has been handled so far: 1 for a frame, more for what costs more.
    @inline(__always) var handled: UInt64 { ask(otherwise: 0) { $0.state.handled } }

    /// Puts what streams have to send into the output, and hands it to the host.
    /// - Returns: false when the transport takes no more.
    @inline(__always) func flush(_ buffer: UnsafeMutableRawBufferPointer, mayWrite: Bool) -> Bool {
        ask(otherwise: false) {
            $0.openHeldWindow()
            return $0.serveReadyStreams(buffer, mayWrite: mayWrite)
        }
    }

    /// The output is with the transport.
    @inline(__always) func outputTaken() { with { $0.outputTaken() } }
    /// The kernel has taken everything.
    @inline(__always) func outputLeft() { with { $0.outputLeft() } }

    /// Looks again whether requests hold too much for more of them to come.
    /// - Returns: they do.
    func reviewHeldBodies() -> Bool {
        ask(otherwise: false) {
            $0.openHeldWindow()
            return $0.state.windowIsHeld
        }
    }

    func connectionClosed(_ reason: CloseReason) { with { $0.connectionClosed(reason) } }
    func cutOff(_ kind: Abuse) { with { $0.cutOff(kind) } }

    /// The first half of a graceful end: no stream is refused yet.
    /// - Parameter reason: for people at the other end.
    func announceEnd(_ reason: StaticString) { with { $0.submitShutdownNotice(reason) } }

    /// The second half: streams that were begun are served, new ones are not.
    func refuseStreams(_ reason: StaticString = "") { with { $0.submitGoAway(.noError, reason) } }

    /// `Connection.pingAcknowledged` tells when the peer has seen everything sent before.
    func ping(_ number: UInt32 = 0) { with { $0.submitPing(number) } }

    /// The peer has begun to speak the protocol.
    @inline(__always) var hasBegun: Bool { ask(otherwise: false) { $0.hasBegun } }
    /// The peer has said how it wants to be spoken to.
    @inline(__always) var peerIsReady: Bool { ask(otherwise: false) { $0.peerIsReady } }
    /// The peer has opened a stream.
    var hasServed: Bool { ask(otherwise: false) { $0.hasServed } }
    /// Octets of a head that the peer takes, as far as it has said.
    var peerHeadLimit: Int { ask(otherwise: Int.max) { $0.peerHeadLimit } }
    /// Streams that the peer lets us have open at a time.
    @inline(__always) var peerStreamLimit: Int { ask(otherwise: 0) { $0.peerStreamLimit } }
    /// One side has said that it leaves, and no stream is left.
    @inline(__always) var isComplete: Bool { ask(otherwise: false) { $0.isComplete } }
    var hasSoundQueues: Bool { ask(otherwise: true) { $0.hasSoundQueues } }
}
