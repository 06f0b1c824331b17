import Glibc

/// Why a socket, a connection or a handshake failed: a few bytes that travel without references.
struct IOFailure: Error, Sendable, Hashable {
    enum Operation: String, Sendable, Hashable {
        case socket, bind, listen, accept, connect, read, write, handshake
        case option = "socket option"
        case shutdown = "shut down"
    }

    enum Cause: Sendable, Hashable {
        /// An `errno` value.
        case system(Int32)
        /// A code of OpenSSL's error queue.
        case tls(UInt)
        /// The peer closed the connection in the middle of the handshake.
        case closedByPeer
        /// The handshake ended without `h2` (RFC 7301, RFC 9113 §3.2).
        case noHTTP2
        /// The same on the other side: we offered `h2`.
        case serverWithoutHTTP2
        /// The peer's certificate was refused: a verdict of OpenSSL (`X509_V_ERR_…`).
        case certificate(Int32)
    }

    let operation: Operation
    let cause: Cause

    init(_ operation: Operation, _ cause: Cause) {
        self.operation = operation
        self.cause = cause
    }

    /// The failure that `errno` tells of.
    static func current(_ operation: Operation) -> IOFailure { IOFailure(operation, .system(errno)) }
}

extension IOFailure: CustomStringConvertible {
    /// `connect: Connection refused`
    var description: String { "\(operation.rawValue): \(reason)" }

    /// Without the operation: `Connection refused`.
    var reason: String {
        switch cause {
        case .system(let code): SystemError.text(of: code)
        case .tls(let code): TLSError.text(code)
        case .closedByPeer: "the peer closed the connection"
        case .noHTTP2: "the client did not offer h2 by ALPN"
        case .serverWithoutHTTP2: "the server does not offer h2 by ALPN"
        case .certificate(let verdict): TLSError.text(ofVerdict: verdict)
        }
    }
}
