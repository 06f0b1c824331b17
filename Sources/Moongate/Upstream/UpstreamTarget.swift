import MoongateConfig

/// The servers that an upstream's name stands for, for those who keep what came from them.
///
/// Two configurations have the same target if whoever answers under the one may answer under the other: the same
/// endpoints, in any order and with any weights, or, where certificates are checked for names that the configuration
/// gives, the same demands on them, wherever the servers run.
struct UpstreamTarget: Sendable, Equatable {
    private struct Identity: Sendable, Equatable {
        var trust: UpstreamTLSConfig.Trust
        var revocationLists: String?
        var serverName: String?
        var names: [PeerName]
        var skipsVerification: Bool
    }

    /// Empty where certificates say who a server is.
    private let endpoints: Set<ResolvedHost.Identity>
    /// `nil`: cleartext.
    private let identity: Identity?

    init(_ config: UpstreamConfig) {
        identity = config.tls.map { tls in
            Identity(
                trust: tls.trust, revocationLists: tls.revocationLists, serverName: tls.serverName, names: tls.names,
                skipsVerification: tls.skipsVerification)
        }
        let isNamed = identity.map { !$0.skipsVerification && ($0.serverName != nil || !$0.names.isEmpty) } ?? false
        endpoints = isNamed ? [] : Set(config.endpoints.map(ResolvedHost.Identity.init))
    }

    /// That of upstreams without a configuration.
    static let unspecified = UpstreamTarget(UpstreamConfig(name: "", endpoints: []))
}
