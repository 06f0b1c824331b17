/// A host and a port: `127.0.0.1:80`, `[::1]:80`, `name.example:80`, `:80` (every address).
public struct SocketAddressConfig: Sendable, Hashable {
    /// An IPv4 or IPv6 address (without brackets) or a host name; empty means every local address.
    public var host: String
    /// 1 to 65535, and 0 (any free port) for listeners.
    public var port: UInt16
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }
}
