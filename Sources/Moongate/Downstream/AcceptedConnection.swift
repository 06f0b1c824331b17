import MoongateConfig

/// A connection on its way from the acceptor to a worker.
struct AcceptedConnection: Sendable {
    let descriptor: Int32
    let remote: SocketAddress
    let local: SocketAddress
    let listener: ListenerSettings
    /// The connection counts as long as somebody has it.
    let permit: ConnectionPermit
}

/// What a connection takes from its listener; the newest configuration's at the moment it is accepted.
struct ListenerSettings: Sendable {
    let identity: ListenerIdentity
    let name: String
    let maxConcurrentStreams: Int
    let maxHeaderBytes: Int
    let maxHeaderFields: Int
    let schedule: ConnectionSchedule.Settings
    let limits: ConnectionLimits
    var abuse = AbuseLimits()
    var stalls = StallLimits()
    /// `nil`: cleartext.
    let tls: TLSServerContext?
    /// `nil`: connections speak for themselves.
    let proxyProtocol: ProxyProtocolRules?
    /// `nil`: what clients send of `x-forwarded-client-cert` is removed.
    let forwardClientCertificate: ForwardClientCertificateConfig?
}
