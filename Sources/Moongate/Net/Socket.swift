import CMoongate
import Glibc

/// System calls on TCP sockets, with their flags and faults in one place. Every socket is non-blocking and closed
/// on exec.
enum Socket {
    /// A listening socket.
    ///
    /// `SO_REUSEADDR` lets a restart bind while old connections linger; without `SO_REUSEPORT` a second instance on
    /// the same address fails. An IPv6 address takes IPv6 peers only, so that `0.0.0.0` can stand beside `::`.
    /// - Parameter port 0: any free port; ask `localAddress`.
    static func listen(on address: SocketAddress, backlog: Int32 = 4096) throws(IOFailure) -> Int32 {
        try listen(on: address, backlog: backlog, dualStack: false)
    }

    /// A listening socket for every local address: IPv6 with IPv4 mapped in, or IPv4 alone where IPv6 is off.
    static func listenOnEveryAddress(port: UInt16, backlog: Int32 = 4096) throws(IOFailure) -> Int32 {
        let failure: IOFailure
        do throws(IOFailure) {
            return try listen(on: .any(.v6, port: port), backlog: backlog, dualStack: true)
        } catch {
            failure = error
        }
        guard [.system(EAFNOSUPPORT), .system(EADDRNOTAVAIL)].contains(failure.cause) else { throw failure }
        return try listen(on: .any(.v4, port: port), backlog: backlog, dualStack: false)
    }

    /// Begins a connection. When the socket turns writable, `connectFailure` tells how it went.
    static func connect(to address: SocketAddress) throws(IOFailure) -> Int32 {
        let fd = try open(address.family)
        let status = address.withSystemAddress { Glibc.connect(fd, $0, $1) }
        if status == 0 || errno == EINPROGRESS { return fd }
        throw abandon(fd, .connect)
    }

    /// The outcome of a connect that has ended; `nil` is success.
    static func connectFailure(_ fd: Int32) -> IOFailure? {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { return .current(.connect) }
        return code == 0 ? nil : IOFailure(.connect, .system(code))
    }

    /// The next waiting connection with its peer; `nil`: none waits.
    ///
    /// Connections that died while they waited are passed over. `EMFILE` and `ENFILE` are thrown: the connection
    /// stays in the queue, so the caller must pause before it tries again.
    static func accept(_ listener: Int32) throws(IOFailure) -> (fd: Int32, peer: SocketAddress)? {
        while true {
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let fd = withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { mg_accept(listener, $0, &length) }
            }
            if fd >= 0 {
                if let peer = SocketAddress(storage) { return (fd, peer) }
                _ = Glibc.close(fd)
                continue
            }
            switch errno {
            case EAGAIN: return nil
            // accept(2): faults of the new connection are reported here and are to be taken like EAGAIN.
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
                ENETUNREACH:
                continue
            default: throw .current(.accept)
            }
        }
    }

    static func close(_ fd: Int32) { _ = Glibc.close(fd) }

    private static func listen(on address: SocketAddress, backlog: Int32, dualStack: Bool) throws(IOFailure) -> Int32 {
        let fd = try open(address.family)
        guard setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1) else { throw abandon(fd, .option) }
        if address.family == .v6 {
            let v6Only = setOption(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, dualStack ? 0 : 1)
            guard v6Only else { throw abandon(fd, .option) }
        }
        guard address.withSystemAddress({ bind(fd, $0, $1) }) == 0 else { throw abandon(fd, .bind) }
        guard Glibc.listen(fd, backlog) == 0 else { throw abandon(fd, .listen) }
        return fd
    }

    private static func open(_ family: SocketAddress.Family) throws(IOFailure) -> Int32 {
        let kind = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        let fd = socket(family == .v4 ? AF_INET : AF_INET6, Int32(kind), Int32(IPPROTO_TCP))
        guard fd >= 0 else { throw .current(.socket) }
        return fd
    }

    /// Closes the socket and keeps the fault that led to it.
    private static func abandon(_ fd: Int32, _ operation: IOFailure.Operation) -> IOFailure {
        let failure = IOFailure.current(operation)
        _ = Glibc.close(fd)
        return failure
    }
}
