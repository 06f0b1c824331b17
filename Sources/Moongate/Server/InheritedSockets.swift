import CMoongate
import Glibc
import MoongateConfig

/// Listening sockets that the process was started with: by systemd (`sd_listen_fds(3)`), or by the process that it takes
/// over from. On the control thread.
final class InheritedSockets {
    /// The name of the admin listener's socket, which no listener can have.
    static let adminName = "the admin listener"

    private struct Entry {
        let descriptor: Int32
        let address: SocketAddress
        let name: String
    }

    private var sockets: [Entry] = []
    /// Where to say that the process is ready; -1: nobody waits for that.
    private var readyDescriptor: Int32 = -1
    /// The process takes over from another one.
    let isSuccession: Bool

    /// Reads the environment, and clears it: children have no part in this. To be called before there are threads.
    init() {
        let environment = { (name: String) in getenv(name).map { String(cString: $0) } }
        let ready = environment("MOONGATE_READY_FD").flatMap { Int32($0) }
        isSuccession = ready != nil
        let isMeant = ready != nil || environment("LISTEN_PID").flatMap { Int32($0) } == getpid()
        let count = isMeant ? environment("LISTEN_FDS").flatMap { Int32($0) } ?? 0 : 0
        let names = (environment("LISTEN_FDNAMES") ?? "").split(separator: ":", omittingEmptySubsequences: false)
        mg_forget_handover()
        if let ready, mg_take_descriptor(ready) == 0 { readyDescriptor = ready }
        for index in 0..<max(0, min(count, 1024)) {
            let descriptor = 3 + index
            guard mg_take_descriptor(descriptor) == 0, InheritedSockets.isListening(descriptor),
                let address = Socket.localAddress(descriptor)
            else { continue }
            let name = Int(index) < names.count ? String(names[Int(index)]) : ""
            sockets.append(Entry(descriptor: descriptor, address: address, name: name))
        }
    }

    private static func isListening(_ descriptor: Int32) -> Bool {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value != 0
    }

    /// The socket for an address, once; whoever takes it closes it. For port 0, any free port, the name decides.
    func take(_ address: SocketAddressConfig, name: String) -> (descriptor: Int32, address: SocketAddress)? {
        let name = InheritedSockets.plain(name)
        guard let index = sockets.firstIndex(where: { InheritedSockets.fits($0, address, name) }) else { return nil }
        let socket = sockets.remove(at: index)
        return (socket.descriptor, socket.address)
    }

    private static func fits(_ socket: Entry, _ wanted: SocketAddressConfig, _ name: String) -> Bool {
        var address = socket.address
        if wanted.port == 0 {
            guard socket.name == name else { return false }
            address.port = 0
        }
        if wanted.host.isEmpty {
            return [SocketAddress.any(.v6, port: wanted.port), .any(.v4, port: wanted.port)].contains(address)
        }
        return SocketAddress(host: wanted.host, port: wanted.port) == address
    }

    /// As it may stand in `LISTEN_FDNAMES`.
    static func plain(_ name: String) -> String { name.replacing(":", with: "_") }

    /// Addresses of sockets that nobody has taken.
    var leftOver: [SocketAddress] { sockets.map(\.address) }

    /// Closes those that nobody has taken.
    func closeLeftOver() {
        for socket in sockets { Socket.close(socket.descriptor) }
        sockets = []
    }

    /// Tells the process that this one takes over from.
    func tellReady() {
        guard readyDescriptor >= 0 else { return }
        _ = write(readyDescriptor, "1", 1)
        close(readyDescriptor)
        readyDescriptor = -1
    }
}
