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
    let remote: SocketAddress
    let local: SocketAddress
    /// `nil` in cleartext, and until the handshake is done.
    private(set) var tls: TLS? { didSet { isTLS = tls != nil } }
    /// `tls` is there.
    private(set) var isTLS: Bool
    /// What requests and log lines say of `tls`.
    private(set) var clientCertificate: ClientCertificateFacts
    private let forwarding: ForwardClientCertificateConfig?

    /// The listener's name and the client's `ip:port`, for logs.
    let listenerBytes: Bytes
    let remoteBytes: Bytes
    /// The client's address without its port.
    let remoteHostBytes: Bytes
    /// `ip:port`
    let remoteText: String
    let localText: String

    /// - Parameter forwarding: what becomes of `x-forwarded-client-cert`; `nil`: it is removed.
    init(
        listener: ListenerIdentity, listenerName: String, remote: SocketAddress, local: SocketAddress, tls: TLS? = nil,
        forwarding: ForwardClientCertificateConfig? = nil
    ) {
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
        remoteHostBytes = Bytes.allocated(remote.host)
    }

    /// TLS is established.
    func established(_ tls: TLS) {
        clientCertificate.free()
        self.tls = tls
        clientCertificate = ClientCertificateFacts(tls, forwarding)
    }

    deinit {
        clientCertificate.free()
        listenerBytes.base.deallocate()
        remoteBytes.base.deallocate()
        remoteHostBytes.base.deallocate()
    }
}
