/// HTTP/2 error codes (RFC 9113 §7). Peers may send any other number.
struct ErrorCode: RawRepresentable, Equatable {
    var rawValue: UInt32

    static let noError = ErrorCode(rawValue: 0)
    static let protocolError = ErrorCode(rawValue: 1)
    static let internalError = ErrorCode(rawValue: 2)
    static let flowControlError = ErrorCode(rawValue: 3)
    static let settingsTimeout = ErrorCode(rawValue: 4)
    static let streamClosed = ErrorCode(rawValue: 5)
    static let frameSizeError = ErrorCode(rawValue: 6)
    static let refusedStream = ErrorCode(rawValue: 7)
    static let cancel = ErrorCode(rawValue: 8)
    static let compressionError = ErrorCode(rawValue: 9)
    static let connectError = ErrorCode(rawValue: 10)
    static let enhanceYourCalm = ErrorCode(rawValue: 11)
    static let inadequateSecurity = ErrorCode(rawValue: 12)
}

extension StreamEnd {
    init(_ code: ErrorCode) {
        switch code {
        case .noError: self = .complete
        case .cancel: self = .cancelled
        case .refusedStream: self = .refused
        case .enhanceYourCalm: self = .overloaded
        case .internalError: self = .internalError
        case .protocolError: self = .protocolError
        default: self = .code(code.rawValue)
        }
    }

    /// For people.
    var text: String { "HTTP/2 error code \(ErrorCode(self).rawValue)" }
}

extension ErrorCode {
    init(_ end: StreamEnd) {
        switch end {
        case .complete: self = .noError
        case .cancelled: self = .cancel
        case .refused, .cutOff: self = .refusedStream
        case .overloaded: self = .enhanceYourCalm
        case .internalError: self = .internalError
        case .protocolError: self = .protocolError
        case .code(let code): self = ErrorCode(rawValue: code)
        }
    }
}
