/// Where a stream stands: RFC 9113 §5.1, seen from this side. Made anew when the stream opens.
struct StreamState {
    /// How far the peer's message has come.
    enum Receiving: UInt8 {
        /// No final head yet.
        case head
        case body
        /// "half-closed (remote)", or "closed" once `Sending.ended`.
        case ended
    }

    /// How far our message has come.
    enum Sending: UInt8 {
        /// No final head yet, or none that a body follows.
        case head
        /// The delegate has body bytes, or will have.
        case body
        /// The last frame is among the connection's output; the owner is told at the end of the turn.
        case ending
        /// The last frame has been handed to the transport, and the owner knows: "half-closed (local)", or "closed" once
        /// `Receiving.ended`.
        case ended
    }

    private(set) var receiving = Receiving.head
    private(set) var sending = Sending.head
    /// How the stream is to be reset at the end of the turn: nothing else is sent, and nothing that comes is reported.
    private(set) var reset: StreamEnd?

    @inline(__always) var isReset: Bool { reset != nil }
    @inline(__always) var peerEnded: Bool { receiving == .ended }
    @inline(__always) var hasBody: Bool { sending == .body }
    /// Both sides are complete.
    @inline(__always) var isOver: Bool { receiving == .ended && sending == .ended && reset == nil }

    /// - Precondition: messages only go forward, which builds with assertions check.
    @inline(__always) mutating func received(_ next: Receiving) {
        assert(next.rawValue >= receiving.rawValue, "a stream's peer goes from \(receiving) to \(next)")
        receiving = next
    }

    /// - Precondition: as `received`; a stream that is to be reset sends nothing.
    @inline(__always) mutating func sent(_ next: Sending) {
        assert(next.rawValue >= sending.rawValue, "a stream goes from \(sending) to \(next)")
        assert(reset == nil || next == .ended, "a stream that is to be reset goes to \(next)")
        sending = next
    }

    /// The stream is to be reset. Only the first reason counts.
    @inline(__always) mutating func requestReset(_ end: StreamEnd) {
        assert(reset == nil, "a stream is reset twice")
        reset = end
    }

    // MARK: Flow control

    /// Octets that the peer takes now; negative after it made its windows smaller (RFC 9113 §6.9.2).
    var sendWindow: Int32 = 0
    /// Octets that the peer may still send.
    var receiveWindow: Int32 = 0
    /// Octets that were passed on and are not announced to the peer yet.
    var consumed: Int32 = 0
    /// Octets that the peer may have under way.
    var window: Int32 = 0

    // MARK: Length

    /// Octets of the body that `content-length` promises and that have not come; -1: any number.
    var expected: Int64 = -1
    /// The response to it has no body, whatever `content-length` says (RFC 9110 §8.6).
    var isHead = false

    // MARK: Memory, see `ConnectionAccounts`

    /// Its part of `heldHeads`.
    var headSize: Int32 = 0
    /// Its part of `heldCalls`.
    var callSize = 0
    /// Its part of `kept`.
    var kept = 0
    /// Its response needs more room than there is.
    var awaitsRoom = false

    // MARK: For `ConnectionStallDetector`

    /// Since when it has waited for a window, without one worth mentioning meanwhile; 0: it has not.
    var stalledSince: Instant = 0
    /// Changes with each body byte of the peer, and since when it has not; 0: not looked at.
    var mark: Int32 = 0
    var quietSince: Instant = 0
}
