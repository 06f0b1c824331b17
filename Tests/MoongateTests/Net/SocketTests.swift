import Glibc
import Testing

@testable import Moongate

struct SocketTests {
    private func loopback(_ port: UInt16 = 0) throws -> SocketAddress {
        try #require(SocketAddress(host: "127.0.0.1", port: port))
    }

    @Test func acceptedConnectionKnowsBothAddresses() throws {
        let listener = try Socket.listen(on: loopback())
        defer { Socket.close(listener) }
        #expect(try Socket.accept(listener) == nil)
        let address = try #require(Socket.localAddress(listener))
        #expect(address.port != 0)

        let client = try Socket.connect(to: address)
        defer { Socket.close(client) }
        #expect(waitUntil(client, POLLOUT))
        #expect(Socket.connectFailure(client) == nil)
        #expect(waitUntil(listener, POLLIN))
        let accepted = try #require(try Socket.accept(listener))
        defer { Socket.close(accepted.fd) }
        #expect(accepted.peer == Socket.localAddress(client))
        #expect(Socket.peerAddress(client) == address)
        #expect(fcntl(accepted.fd, F_GETFL) & O_NONBLOCK != 0)
        #expect(fcntl(accepted.fd, F_GETFD) & FD_CLOEXEC != 0)
        #expect(fcntl(client, F_GETFD) & FD_CLOEXEC != 0)
    }

    @Test func secondListenerOnTheSameAddressFails() throws {
        let first = try Socket.listen(on: loopback())
        defer { Socket.close(first) }
        let address = try #require(Socket.localAddress(first))
        #expect(throws: IOFailure(.bind, .system(EADDRINUSE))) { try Socket.listen(on: address) }
    }

    @Test func listenerOnEveryAddressTakesBothFamilies() throws {
        let listener = try Socket.listenOnEveryAddress(port: 0)
        defer { Socket.close(listener) }
        let port = try #require(Socket.localAddress(listener)).port
        for host in ["127.0.0.1", "::1"] {
            let client = try Socket.connect(to: try #require(SocketAddress(host: host, port: port)))
            defer { Socket.close(client) }
            #expect(waitUntil(listener, POLLIN))
            let accepted = try #require(try Socket.accept(listener))
            defer { Socket.close(accepted.fd) }
            #expect(accepted.peer.host == host)
        }
    }

    @Test func refusedConnectSaysSo() throws {
        let listener = try Socket.listen(on: loopback())
        let address = try #require(Socket.localAddress(listener))
        Socket.close(listener)
        let client = try Socket.connect(to: address)
        defer { Socket.close(client) }
        #expect(waitUntil(client, POLLOUT))
        let failure = try #require(Socket.connectFailure(client))
        #expect(failure == IOFailure(.connect, .system(ECONNREFUSED)))
        #expect(failure.description == "connect: Connection refused")
    }

    @Test func optionsReachTheKernel() throws {
        let listener = try Socket.listen(on: loopback())
        defer { Socket.close(listener) }
        Socket.setNoDelay(listener)
        Socket.setDeadPeerTimeout(listener)
        #expect(option(listener, Int32(IPPROTO_TCP), TCP_NODELAY) != 0)
        #expect(option(listener, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT) == 20_000)
        #expect(option(listener, SOL_SOCKET, SO_KEEPALIVE) != 0)
        #expect(option(listener, SOL_SOCKET, SO_REUSEPORT) == 0)
    }

    private func option(_ fd: Int32, _ level: Int32, _ name: Int32) -> Int32 {
        var value: Int32 = -1
        var length = socklen_t(MemoryLayout<Int32>.size)
        _ = getsockopt(fd, level, name, &value, &length)
        return value
    }
}

/// Waits up to 5 s for an event of poll(2).
func waitUntil(_ fd: Int32, _ events: Int32) -> Bool {
    var entry = pollfd(fd: fd, events: Int16(events), revents: 0)
    return poll(&entry, 1, 5000) == 1
}

/// Two connected non-blocking stream sockets.
func socketPair() throws -> (Int32, Int32) {
    var ends: [Int32] = [0, 0]
    let kind = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
    try #require(socketpair(AF_UNIX, Int32(kind), 0, &ends) == 0)
    return (ends[0], ends[1])
}
