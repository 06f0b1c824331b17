import CMoongate
import Glibc

extension Socket {
    /// Small frames leave at once: an RPC's last bytes must not wait for an acknowledgement (Nagle).
    static func setNoDelay(_ fd: Int32) {
        _ = setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
    }

    /// Lets the kernel find a dead upstream within `seconds`: unacknowledged data ends the connection after that
    /// time, and an idle connection is probed (gRFC A18 does the same for gRPC's own clients, with 20 s).
    static func setDeadPeerTimeout(_ fd: Int32, seconds: Int32 = 20) {
        let tcp = Int32(IPPROTO_TCP)
        _ = setOption(fd, tcp, TCP_USER_TIMEOUT, seconds * 1000)
        _ = setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
        _ = setOption(fd, tcp, TCP_KEEPIDLE, seconds)
        _ = setOption(fd, tcp, TCP_KEEPINTVL, max(1, seconds / 4))
        _ = setOption(fd, tcp, TCP_KEEPCNT, 4)
    }

    /// `close` will drop what was not sent, and reset the connection.
    static func abandonOutput(_ fd: Int32) {
        var abrupt = linger(l_onoff: 1, l_linger: 0)
        _ = setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, socklen_t(MemoryLayout<linger>.size))
    }

    /// Octets that the peer's kernel has not acknowledged; `nil`: the kernel does not say.
    static func unacknowledged(_ fd: Int32) -> Int? {
        let count = mg_unacknowledged(fd)
        return count < 0 ? nil : Int(count)
    }

    /// `nil` if the socket has none.
    static func localAddress(_ fd: Int32) -> SocketAddress? { address(fd, getsockname) }

    /// `nil` if the socket is not connected.
    static func peerAddress(_ fd: Int32) -> SocketAddress? { address(fd, getpeername) }

    static func setOption(_ fd: Int32, _ level: Int32, _ name: Int32, _ value: Int32) -> Bool {
        var value = value
        return setsockopt(fd, level, name, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
    }

    private static func address(
        _ fd: Int32, _ query: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { query(fd, $0, &length) }
        }
        return status == 0 ? SocketAddress(storage) : nil
    }
}
