/// What becomes of streams. One object per worker and kind of stream; a stream is known by its owner, an opaque pointer
/// to the record that it is part of.
///
/// Called while a connection handles input or sends: implementations may submit heads and reset streams, which takes
/// effect at the end of the turn. All calls are made on the worker's thread.
class StreamDelegate {
    /// What a header section is.
    enum Section {
        /// A request's head.
        case request
        /// A response's head; 1xx ones come in any number before the final one.
        case response
        /// Trailers, or (from an upstream) a final head behind a 1xx one: the delegate knows which it waits for.
        case further
    }

    /// A header section begins; returns where its fields are to be put.
    func sectionBegan(_ stream: StreamOwner, _ section: Section) -> HeaderList? {
        nil
    }

    /// The section is complete. `tooLarge`: fields beyond the connection's limit were left out.
    func sectionEnded(_ stream: StreamOwner, _ section: Section, endsStream: Bool, tooLarge: Bool) {}

    /// Body bytes, valid during the call.
    func dataReceived(_ stream: StreamOwner, _ bytes: Bytes) {}

    /// The body is complete, and no trailers follow.
    func dataEnded(_ stream: StreamOwner) {}

    /// The connection can send body bytes of the stream: up to `limit` to `target`.
    func readBody(
        _ stream: StreamOwner, into target: UnsafeMutablePointer<UInt8>, limit: Int
    ) -> BodyRead { .later }

    /// The last octet of our side of the stream has been handed to the transport.
    func endSent(_ stream: StreamOwner) {}

    /// Whether the peer may have `octets` more under way on the stream from now on: some have been passed on, or many are
    /// expected.
    func mayWiden(_ stream: StreamOwner, by octets: Int32) -> Bool { true }

    /// There may be room for the response, which waits for it.
    func roomIsBack(_ stream: StreamOwner) {}

    /// What is held of the response's body.
    func heldResponse(_ stream: StreamOwner) -> HeldBody { HeldBody() }

    /// Too much waits for a client that does not take it, and this stream has waited for longest: it is to be reset.
    func responseIsStalled(_ stream: StreamOwner) {}

    /// What is held of the request's body.
    func heldRequest(_ stream: StreamOwner) -> HeldBody { HeldBody() }

    /// The client's requests hold too much: nothing is kept for another attempt.
    func forgoAttempts(_ stream: StreamOwner) {}

    /// The client's requests hold too much, and most of it is collected for this one: it is to be answered.
    func requestIsTooMuch(_ stream: StreamOwner) {}

    /// Nothing has come of the request's body for so many nanoseconds, and it has no answer, or a whole one.
    /// - Returns: false where that is as it may be.
    func requestIsLate(_ stream: StreamOwner, after time: UInt64) -> Bool { false }

    /// The stream is gone; `reason` tells how the connection ended where that ended the stream.
    func streamClosed(_ stream: StreamOwner, _ end: StreamEnd, _ reason: CloseReason?) {}
}

/// What there was to send.
enum BodyRead {
    case bytes(Int)
    /// The last bytes (0 is allowed); they end the stream.
    case last(Int)
    /// The last bytes (0 is allowed); a trailer section was submitted and ends the stream.
    case lastBeforeTrailers(Int)
    /// Nothing now: the connection asks again after `resume`.
    case later
    /// The body will not be completed; the stream is reset as `internalError`.
    case failed
}
