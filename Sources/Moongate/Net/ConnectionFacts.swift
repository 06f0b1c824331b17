import MoongateConfig

/// What is known of a client's connection for as long as it lives.
final class ConnectionFacts {
    struct TLS {
        /// `TLSv1.2` or `TLSv1.3`.
        var version: String
        var cipher: String
        /// The name the client asked for (SNI); empty if it sent none.
        var serverName: String
        /// Certificates and session; `nil` where there was no handshake, in tests.
        var details: TLSFacts?
    }

    let listener: ListenerIdentity
    let listenerName: String
    /// The client's address, and the one that it connected to.
    let remote: SocketAddress
    let local: SocketAddress
    /// Where the connection itself ends: another one where a proxy speaks for the client (PROXY protocol).
    let directLocal: SocketAddress
    /// A proxy has said for whom it connects.
    let isIntroduced: Bool
    /// `nil` in cleartext, and until the handshake is done.
    private(set) var tls: TLS? { didSet { isTLS = tls != nil } }
    /// `tls` is there.
    private(set) var isTLS: Bool
    /// What requests and log lines say of `tls`.
    private(set) var clientCertificate: ClientCertificateFacts
    /// Refuses requests that belong on another connection; `nil`: none does.
    private(set) var authorityGuard: Unmanaged<AuthorityGuard>?
    private let forwarding: ForwardClientCertificateConfig?

    /// The listener's name and the client's `ip:port`, for logs.
    let listenerBytes: Bytes
    let remoteBytes: Bytes
    /// The same of the connection itself.
    let directRemoteBytes: Bytes
    /// The client's address without its port.
    let remoteHostBytes: Bytes
    /// `ip:port`
    let remoteText: String
    let localText: String

    /// - Parameter forwarding: what becomes of `x-forwarded-client-cert`; `nil`: it is removed.
    init(
        listener: ListenerIdentity, listenerName: String, remote: SocketAddress, local: SocketAddress, tls: TLS? = nil,
        direct: (remote: SocketAddress, local: SocketAddress)? = nil,
        forwarding: ForwardClientCertificateConfig? = nil
    ) {
        isIntroduced = direct.map { $0.remote != remote } ?? false
        directLocal = direct?.local ?? local
        self.listener = listener
        self.listenerName = listenerName
        self.remote = remote
        self.local = local
        self.tls = tls
        isTLS = tls != nil
        self.forwarding = forwarding
        clientCertificate = tls.map { ClientCertificateFacts($0, forwarding) } ?? ClientCertificateFacts(forwarding)
        remoteText = remote.description
        localText = local.description
        listenerBytes = Bytes.allocated(listenerName)
        remoteBytes = Bytes.allocated(remoteText)
        directRemoteBytes = direct.map { Bytes.allocated($0.remote.description) } ?? Bytes.allocated(remoteText)
        remoteHostBytes = Bytes.allocated(remote.host)
    }

    /// TLS is established.
    func established(_ tls: TLS, _ context: TLSServerContext? = nil) {
        if let context, context.servesSeveralNames, !tls.serverName.isEmpty, authorityGuard == nil {
            authorityGuard = .passRetained(AuthorityGuard(context, serverName: tls.serverName))
        }
        clientCertificate.free()
        self.tls = tls
        clientCertificate = ClientCertificateFacts(tls, forwarding)
    }

    deinit {
        authorityGuard?.release()
        clientCertificate.free()
        listenerBytes.base.deallocate()
        remoteBytes.base.deallocate()
        directRemoteBytes.base.deallocate()
        remoteHostBytes.base.deallocate()
    }
}
