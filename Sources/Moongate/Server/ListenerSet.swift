import Glibc
import MoongateConfig

/// The listening sockets of the process, kept across reloads where the address stays. On the control thread.
final class ListenerSet {
    /// What a socket is known by: one address, and for port 0 the listener that asked.
    fileprivate struct Key: Hashable {
        let address: SocketAddressConfig
        let name: String

        init(_ listener: ListenerConfig) {
            address = listener.address
            name = listener.address.port == 0 ? listener.name : ""
        }
    }

    /// Sockets for a configuration that is not in force yet.
    struct Bound {
        fileprivate var sockets: [Key: ListeningSocket] = [:]
        fileprivate var new: [ListeningSocket] = []
    }

    private let acceptors: AcceptorThread
    private let inherited: InheritedSockets
    private var sockets: [Key: ListeningSocket] = [:]
    /// By socket: for a successor on any free port.
    private var names: [Key: String] = [:]

    init(acceptors: AcceptorThread, inherited: InheritedSockets) {
        self.acceptors = acceptors
        self.inherited = inherited
    }

    /// For another process: the sockets, and the names of listeners that have them.
    var handover: [(descriptor: Int32, name: String)] {
        sockets.map { ($0.value.descriptor, names[$0.key] ?? "") }
    }

    /// Binds what is not bound yet; nothing changes for those that are.
    /// - Throws: what cannot be bound; sockets that could be are closed again.
    func bind(_ listeners: [ListenerConfig]) throws(DiagnosticList) -> Bound {
        var bound = Bound()
        var faults: [Diagnostic] = []
        for listener in listeners {
            let key = Key(listener)
            if let socket = sockets[key] {
                bound.sockets[key] = socket
                continue
            }
            do {
                let socket =
                    try inherited.take(listener.address, name: listener.name).map(ListeningSocket.init)
                    ?? ListenerSet.listen(listener.address)
                bound.sockets[key] = socket
                bound.new.append(socket)
            } catch {
                faults.append(
                    Diagnostic(
                        location: listener.location,
                        message:
                            "listener \(listener.name) cannot listen on \(listener.address.host):\(listener.address.port): \(error)",
                        hint: "another process may have the address"))
            }
        }
        if !faults.isEmpty {
            abandon(bound)
            throw DiagnosticList(faults)
        }
        return bound
    }

    /// Closes what was bound for a configuration that is not to be.
    func abandon(_ bound: Bound) { for socket in bound.new { Socket.close(socket.descriptor) } }

    /// Puts the configuration in force: new sockets accept, the others go on, the rest is closed.
    func use(_ bound: Bound, _ listeners: [(config: ListenerConfig, settings: ListenerSettings)]) {
        let gone = sockets.filter { bound.sockets[$0.key] == nil }
        sockets = bound.sockets
        for socket in gone.values { acceptors.stop(socket) }
        for (config, settings) in listeners {
            names[Key(config)] = config.name
            if let socket = sockets[Key(config)] { acceptors.accept(on: socket, settings) }
        }
    }

    /// Accepts nothing any more; see `AcceptorThread.stopAll`.
    func stop(takeWaiting: Bool, then: @escaping @Sendable () -> Void) {
        acceptors.stopAll(takeWaiting: takeWaiting, then: then)
        sockets.removeAll()
    }

    /// Where a listener can be reached.
    func address(of listener: ListenerConfig) -> SocketAddress? { sockets[Key(listener)]?.address }

    private static func listen(_ address: SocketAddressConfig) throws(IOFailure) -> ListeningSocket {
        let descriptor: Int32
        if address.host.isEmpty {
            descriptor = try Socket.listenOnEveryAddress(port: address.port)
        } else {
            guard let literal = SocketAddress(host: address.host, port: address.port) else {
                throw IOFailure(.bind, .system(EADDRNOTAVAIL))
            }
            descriptor = try Socket.listen(on: literal)
        }
        guard let local = Socket.localAddress(descriptor) else { throw .current(.bind) }
        return ListeningSocket(descriptor: descriptor, address: local)
    }
}
