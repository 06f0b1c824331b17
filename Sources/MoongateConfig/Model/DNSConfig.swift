/// How host names are resolved; `/etc/hosts` comes first in any case.
public struct DNSConfig: Sendable, Equatable {
    /// Literal addresses with ports. Empty: those of `/etc/resolv.conf`.
    public var servers: [SocketAddressConfig]
    /// How long the first answer of a server is waited for; twice as long with each further attempt.
    public var timeout: Duration
    /// How often every server is asked.
    public var attempts: Int

    public init(servers: [SocketAddressConfig] = [], timeout: Duration = .seconds(2), attempts: Int = 2) {
        self.servers = servers
        self.timeout = timeout
        self.attempts = attempts
    }
}
