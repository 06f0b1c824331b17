import MoongateConfig

extension SocketAddress {
    /// The address to listen on that a configuration names; an empty host is every IPv4 address. `nil` for names.
    init?(listening config: SocketAddressConfig) {
        if config.host.isEmpty {
            self = .any(.v4, port: config.port)
        } else {
            self.init(host: config.host, port: config.port)
        }
    }
}
