import Glibc

/// The byte stream of one connection: a socket, in cleartext or under TLS.
///
/// Used on the connection's thread. A copy is another name for the same socket; whoever holds the connection calls
/// `close` once.
struct Transport {
    /// Non-blocking. -1 once closed.
    private(set) var fd: Int32
    /// `nil`: cleartext, or TLS that has not begun.
    private(set) var session: TLSSession?
    /// What TLS will begin with.
    private var awaited: TLSServerContext?

    @inline(__always)
    init(plain fd: Int32) {
        self.fd = fd
        session = nil
    }

    @inline(__always)
    init(tls session: TLSSession) {
        fd = session.fd
        self.session = session
    }

    /// From a client that is to begin TLS. Nothing is made for it before it says something: those who never do cost little.
    init(awaiting context: TLSServerContext, fd: Int32) {
        self.fd = fd
        awaited = context
    }

    @inline(__always) var isTLS: Bool { session != nil || awaited != nil }

    /// TLS has still to be agreed on.
    var needsHandshake: Bool { session.map { !$0.isEstablished } ?? (awaited != nil) }

    /// Fills the buffer as far as bytes are there; `.bytes` below its size means that the socket has run dry.
    @inline(__always)
    func read(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        guard let session else { return Transport.receive(fd, buffer) }
        return session.read(into: buffer)
    }

    /// Writes as much as fits. Under TLS, what was not taken must come again first in the next call: bytes that were
    /// offered once may be moved in memory, but neither changed nor withdrawn.
    @inline(__always)
    func write(_ bytes: Bytes) -> IOResult {
        guard let session else { return Transport.send(fd, bytes) }
        return session.write(bytes)
    }

    /// Writes as much as fits of several pieces in a row. In cleartext only.
    func write(_ parts: UnsafeMutableBufferPointer<iovec>) -> IOResult {
        var message = msghdr()
        message.msg_iov = parts.baseAddress
        message.msg_iovlen = parts.count
        while true {
            let count = sendmsg(fd, &message, Int32(MSG_NOSIGNAL))
            if count >= 0 { return .bytes(count) }
            switch errno {
            case EAGAIN: return .wouldBlockWrite
            case EINTR: continue
            default: return .failed(.current(.write))
            }
        }
    }

    /// Input that has left the socket already, so that no event will tell of it: read again without waiting.
    @inline(__always) var hasPendingInput: Bool { session?.hasPendingInput ?? false }

    /// A step of it, once there is something to read. Does nothing in cleartext.
    mutating func handshake() -> HandshakeResult {
        if let context = awaited {
            guard let begun = TLSSession(context, fd: fd) else {
                return .failed(IOFailure(.handshake, .system(ENOMEM)))
            }
            session = begun
            awaited = nil
        }
        return session?.handshake() ?? .finished
    }

    /// Tells the peer that nothing more will be written; what it still sends can be read.
    func shutdown() {
        session?.shutdown()
        _ = Glibc.shutdown(fd, Int32(SHUT_WR))
    }

    /// The first half of `shutdown`, for who waits until the socket takes it: close_notify, behind which TLS is of no further
    /// use. In cleartext there is none.
    mutating func closeNotify() -> HandshakeResult {
        guard let session else { return .finished }
        let result = session.closeNotify()
        // What still comes is read for its end alone.
        if result == .finished { self.session = nil }
        return result
    }

    /// Its second half: the socket takes nothing more from us.
    func endOutput() { _ = Glibc.shutdown(fd, Int32(SHUT_WR)) }

    /// Reads what has come as it is, whether TLS or not, for who wants to see the end alone.
    func discard(into buffer: UnsafeMutableRawBufferPointer) -> IOResult { Transport.receive(fd, buffer) }

    /// Has `close` drop what the kernel still holds, and tell the peer so (RST): one that reads nothing would keep it.
    func abandonOutput() { Socket.abandonOutput(fd) }

    /// Closes the socket; the transport must not be used afterwards.
    mutating func close() {
        session = nil
        awaited = nil
        if fd >= 0 { _ = Glibc.close(fd) }
        fd = -1
    }

    @inline(__always)
    private static func receive(_ fd: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        while true {
            let count = recv(fd, buffer.baseAddress, buffer.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 { return buffer.isEmpty ? .bytes(0) : .closed }
            switch errno {
            case EAGAIN: return .wouldBlockRead
            case EINTR: continue
            default: return .failed(.current(.read))
            }
        }
    }

    @inline(__always)
    private static func send(_ fd: Int32, _ bytes: Bytes) -> IOResult {
        while true {
            let count = Glibc.send(fd, bytes.base, bytes.count, Int32(MSG_NOSIGNAL))
            if count >= 0 { return .bytes(count) }
            switch errno {
            case EAGAIN: return .wouldBlockWrite
            case EINTR: continue
            default: return .failed(.current(.write))
            }
        }
    }
}
