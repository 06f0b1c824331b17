/// The state of a connection that the connection and its engine share: its streams, its output, the clock, and the accounts of the peer.
///
/// Raw memory behind the connection: on the way of a frame nothing of it is watched for overlapping uses, as fields of classes are.
struct ConnectionState {
    enum Phase: UInt8 {
        /// TLS is not established yet: nothing is read or sent but the handshake.
        case handshaking
        case open
        case closed
    }

    var phase: Phase
    var streams = OpenStreams()
    /// How often streams are being looked at, see `EngineHost.inspectStreams`.
    var inspections = 0
    /// The time of the loop's turn, set by the connection before it calls the engine.
    var now: Instant
    /// When bytes came last.
    var heardAt: Instant = 0

    // MARK: Output

    var isFlushPending = false
    var closesAfterFlush = false
    /// The kernel takes nothing now, and is to tell when it does.
    var awaitsWritable = false
    /// Bytes that the kernel did not take; they come before all others.
    var unsent = PendingBytes()
    /// What the engine has to send at the end of the turn.
    var output = OutputBuffer()
    /// Parts of the output that lie where they were read.
    var borrowed = BorrowedSegments()
    /// Bytes can be borrowed for the output: under TLS all are copied anyway.
    let takesBorrowed: Bool

    // MARK: The peer

    var budget: AbuseBudget
    var accounts = ConnectionAccounts()
    let limits: StallLimits
    /// When the first octet came of a frame, or of a header section in several, that is not complete; 0: there is none.
    var incompleteSince: Instant = 0
    /// Since when the kernel takes nothing of what is to be sent; 0: it does.
    var blockedSince: Instant = 0

    init(isEncrypted: Bool, awaitsHandshake: Bool, limits: StallLimits, abuse: AbuseLimits, now: Instant) {
        phase = awaitsHandshake ? .handshaking : .open
        takesBorrowed = !isEncrypted
        self.limits = limits
        self.now = now
        budget = AbuseBudget(abuse, now: now)
    }

    @inline(__always) var isClosed: Bool { phase == .closed }

    /// The kernel took everything so far.
    @inline(__always) var isTakingOutput: Bool { phase == .open && !awaitsWritable && unsent.isEmpty }

    /// Takes the output off the connection together with what it borrows; `nil`, and nothing is taken: it borrows nothing.
    mutating func takeSegmentedOutput() -> SegmentedOutput? {
        guard !borrowed.isEmpty else { return nil }
        defer {
            output = OutputBuffer()
            borrowed = BorrowedSegments()
        }
        return SegmentedOutput(output: output, borrowed: borrowed)
    }

    mutating func destroy(_ outputs: OutputPool) {
        streams.free()
        output.clear(outputs)
        borrowed.clear(outputs)
        unsent.clear()
    }
}

/// What the messages on one connection hold of memory.
struct ConnectionAccounts {
    /// Octets of the heads of the peer's open streams, as RFC 9113 §6.5.2 counts them.
    var heldHeads = 0
    /// Octets that calls of policies carry for the streams' requests.
    var heldCalls = 0
    /// Octets that responses may have under way beyond their first windows, and that policies keep of them.
    var kept = 0
    /// The response that may go beyond the limit.
    var exempt: Stream?
    /// Streams with `awaitsRoom`.
    var awaiting = 0
    /// Some of them may go on.
    var roomIsBack = false

    /// Octets that one response may have under way at first. A larger first window would spare responses of its size the wait for more,
    /// and is kept for each stream of a client that takes nothing.
    static let firstWindow: Int32 = 4 * 1024
}

extension Handle where Record == ConnectionState {
    // Said here again: the compiler does not always see through the key paths that stand for them.
    @inline(__always) var streams: OpenStreams {
        get { pointer.pointee.streams }
        nonmutating _modify { yield &pointer.pointee.streams }
    }

    @inline(__always) var budget: AbuseBudget {
        get { pointer.pointee.budget }
        nonmutating _modify { yield &pointer.pointee.budget }
    }

    @inline(__always) var accounts: ConnectionAccounts {
        get { pointer.pointee.accounts }
        nonmutating _modify { yield &pointer.pointee.accounts }
    }

    @inline(__always) var output: OutputBuffer {
        get { pointer.pointee.output }
        nonmutating _modify { yield &pointer.pointee.output }
    }

    @inline(__always) var borrowed: BorrowedSegments {
        get { pointer.pointee.borrowed }
        nonmutating _modify { yield &pointer.pointee.borrowed }
    }

    @inline(__always) var unsent: PendingBytes {
        get { pointer.pointee.unsent }
        nonmutating _modify { yield &pointer.pointee.unsent }
    }
}
