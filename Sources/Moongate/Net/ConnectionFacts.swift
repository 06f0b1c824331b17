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
    /// For whom the connection speaks: its other end, or whom a proxy there has named (PROXY protocol). The client itself only
    /// where no trusted proxy names another: see `ClientAddress`.
    let peer: PeerAddress
    /// Its other end itself.
    let directPeer: PeerAddress
    /// The address that the peer connected to, and the one where the connection itself ends.
    let local: SocketAddress
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

    /// The listener's name, for logs.
    let listenerBytes: Bytes
    /// `ip:port`, for logs about the connection.
    let peerText: String
    let localText: String

    /// - Parameters:
    ///   - direct: the connection's own ends, where a proxy may have named others.
    ///   - forwarding: what becomes of `x-forwarded-client-cert`; `nil`: it is removed.
    init(
        listener: ListenerIdentity, listenerName: String, peer: SocketAddress, local: SocketAddress, tls: TLS? = nil,
        direct: (peer: SocketAddress, local: SocketAddress)? = nil,
        forwarding: ForwardClientCertificateConfig? = nil
    ) {
        isIntroduced = direct.map { $0.peer != peer } ?? false
        directLocal = direct?.local ?? local
        self.listener = listener
        self.listenerName = listenerName
        self.peer = PeerAddress(peer)
        directPeer = PeerAddress(direct?.peer ?? peer)
        self.local = local
        self.tls = tls
        isTLS = tls != nil
        self.forwarding = forwarding
        clientCertificate = tls.map { ClientCertificateFacts($0, forwarding) } ?? ClientCertificateFacts(forwarding)
        peerText = peer.description
        localText = local.description
        listenerBytes = Bytes.allocated(listenerName)
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
        peer.free()
        directPeer.free()
    }
}
