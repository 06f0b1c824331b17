import Glibc

@testable import Moongate

/// Where the edge connects to: for each slot a server that the target plays, and for all of them one that refuses, one that
/// takes no connection and one that says nothing.
final class FuzzSockets {
    let backends: [(listener: Int32, port: UInt16)]
    /// Nobody listens there.
    let refusing: (socket: Int32, port: UInt16)
    /// Its queue is full: a connection stays in the making.
    let silent: (listener: Int32, port: UInt16)
    private let fillers: [Int32]
    /// Takes connections into its queue, from where they are closed.
    let mute: (listener: Int32, port: UInt16)

    init(_ slots: Int) throws {
        guard let any = SocketAddress(host: "127.0.0.1", port: 0) else { throw Violation(description: "no address") }
        func listen(_ backlog: Int32 = 4096) throws -> (listener: Int32, port: UInt16) {
            let socket = try Socket.listen(on: any, backlog: backlog)
            return (socket, Socket.localAddress(socket)?.port ?? 0)
        }
        backends = try (0..<slots).map { slot in
            let backend = try listen()
            // A server of every other slot takes little at a time.
            if slot % 2 == 1 { FuzzSockets.setBuffers(backend.listener, 4096) }
            return backend
        }
        mute = try listen()
        silent = try listen(0)
        let port = silent.port
        fillers = try (0..<3).compactMap { _ in
            try SocketAddress(host: "127.0.0.1", port: port).map { try Socket.connect(to: $0) }
        }
        refusing = try FuzzSockets.bound(any)
    }

    deinit {
        for socket in backends.map(\.listener) + fillers + [refusing.socket, silent.listener, mute.listener] {
            Socket.close(socket)
        }
    }

    func closeMute() {
        while let accepted = try? Socket.accept(mute.listener) { Socket.close(accepted.fd) }
    }

    static func setBuffers(_ socket: Int32, _ bytes: Int32) {
        var size = bytes
        for option in [SO_RCVBUF, SO_SNDBUF] {
            setsockopt(socket, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
        }
    }

    private static func bound(_ any: SocketAddress) throws -> (socket: Int32, port: UInt16) {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard any.withSystemAddress({ bind(socket, $0, $1) }) == 0, let port = Socket.localAddress(socket)?.port else {
            throw Violation(description: "no socket")
        }
        return (socket, port)
    }
}
