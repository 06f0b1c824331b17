/// What one attempt to read or write gave.
enum IOResult: Sendable, Equatable {
    /// Bytes moved, at least 1 unless nothing was asked for. Fewer than asked for: there is no more (room) now.
    case bytes(Int)
    /// Try again when the socket is readable. TLS may say so on a write.
    case wouldBlockRead
    /// Try again when the socket is writable. TLS may say so on a read.
    case wouldBlockWrite
    /// The peer will send nothing more.
    case closed
    /// The connection is of no further use.
    case failed(IOFailure)
}

/// Where a TLS handshake stands.
enum HandshakeResult: Sendable, Equatable {
    case finished
    case wouldBlockRead
    case wouldBlockWrite
    /// An alert, if one is due, has been written as far as the socket took it: close the connection.
    case failed(IOFailure)
}
