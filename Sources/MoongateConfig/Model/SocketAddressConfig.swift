import Glibc

/// A host and a port: `127.0.0.1:80`, `[::1]:80`, `name.example:80`, `:80` (every address).
public struct SocketAddressConfig: Sendable, Hashable {
    /// An IPv4 or IPv6 address (without brackets) or a host name; empty means every local address.
    public var host: String
    /// 1 to 65535, and 0 (any free port) for listeners.
    public var port: UInt16
    /// Only this host can connect: 127.0.0.0/8 and ::1.
    public var isLoopback: Bool {
        var four = in_addr()
        if inet_pton(AF_INET, host, &four) == 1 { return UInt32(bigEndian: four.s_addr) >> 24 == 127 }
        var six = in6_addr()
        guard inet_pton(AF_INET6, host, &six) == 1 else { return false }
        return withUnsafeBytes(of: six) { bytes in
            let isMapped = bytes[0..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
            return isMapped ? bytes[12] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes[15] == 1
        }
    }
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }
}
