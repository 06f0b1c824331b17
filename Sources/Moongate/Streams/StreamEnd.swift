/// How a stream ended, or is to be ended, whatever protocol it is part of.
enum StreamEnd: Equatable {
    /// Both sides are complete, or the side that ended it wants nothing more of it (RFC 9113 §8.1: `NO_ERROR`).
    case complete
    /// Its result is not wanted any more.
    case cancelled
    /// It was not processed and can be sent again (RFC 9113 §8.7).
    case refused
    /// As `refused`, by a peer that ended its whole connection for an error: the stream itself may be the cause.
    case cutOff
    /// The peer is asked for less, or asks for less.
    case overloaded
    /// Something went wrong on the side that ended it.
    case internalError
    /// The other side broke a rule of the protocol.
    case protocolError
    /// Any other code of HTTP/2 (RFC 9113 §7).
    case code(UInt32)

    /// The peer has not processed the stream.
    @inline(__always) var isRefused: Bool { self == .refused || self == .cutOff }
}

/// Why a connection ended.
enum CloseReason {
    /// The peer closed its side.
    case peerClosed
    /// Both sides said that they leave, and the last stream is done.
    case complete
    /// The transport or the system failed.
    case failed(String)
    /// The peer broke the protocol; the text names it.
    case protocolViolation(String)
    /// We ended it.
    case local

    var text: String {
        switch self {
        case .peerClosed: return "connection closed by the peer"
        case .complete: return "connection ended after GOAWAY"
        case .failed(let text), .protocolViolation(let text): return text
        case .local: return "connection ended by the proxy"
        }
    }
}
