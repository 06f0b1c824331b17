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
