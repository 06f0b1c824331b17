import Glibc

/// Tells systemd how the service is doing (`sd_notify(3)`). Does nothing where nobody listens.
struct ServiceManager {
    /// The name of the manager's socket; `nil`: there is none.
    private let socketName: String?

    /// - Parameter socketName: `$NOTIFY_SOCKET`; with `@` in front in the abstract namespace.
    init(socketName: String? = getenv("NOTIFY_SOCKET").map { String(cString: $0) }) {
        self.socketName = socketName.flatMap { $0.isEmpty ? nil : $0 }
    }

    func ready() { send("READY=1\nMAINPID=\(getpid())") }

    func reloading() {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        send("RELOADING=1\nMONOTONIC_USEC=\(UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000)")
    }

    func stopping() { send("STOPPING=1") }

    /// Another process is the service from now on.
    func succeeded(by process: pid_t) { send("MAINPID=\(process)") }

    private func send(_ text: String) {
        guard let socketName else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array(socketName.utf8)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard name.count < capacity else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { target in
            target.copyBytes(from: name)
            if name.first == UInt8(ascii: "@") { target[0] = 0 }
        }
        let file = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard file >= 0 else { return }
        defer { close(file) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size - capacity + name.count)
        let bytes = Array(text.utf8)
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(file, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        }
    }
}
