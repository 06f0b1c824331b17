import MoongateConfig

/// What a connection's requests and log lines say of the client's TLS, made once when TLS is established.
///
/// The bytes are owned; `free` gives them back.
struct ClientCertificateFacts {
    /// What becomes of the header `x-forwarded-client-cert`.
    enum Header: UInt8 {
        case remove, keep, set, append
    }

    var header = Header.remove
    /// An element of the header, for `set` and `append`.
    var element = Bytes.empty

    // For the access log; empty where there is nothing to say.
    var version = Bytes.empty
    var cipher = Bytes.empty
    var serverName = Bytes.empty
    var subject = Bytes.empty
    var digest = Bytes.empty
    var names = Bytes.empty
    /// Why the certificate is not to be believed.
    var fault = Bytes.empty

    /// In cleartext, and until TLS is established.
    init(_ config: ForwardClientCertificateConfig?) {
        if config?.mode == .alwaysForwardOnly { header = .keep }
    }

    init(_ tls: ConnectionFacts.TLS, _ config: ForwardClientCertificateConfig?) {
        self.init(config)
        version = ClientCertificateFacts.owned(tls.version)
        cipher = ClientCertificateFacts.owned(tls.cipher)
        serverName = ClientCertificateFacts.owned(tls.serverName)
        guard let details = tls.details, let certificate = details.peerCertificate else { return }
        subject = ClientCertificateFacts.owned(certificate.subject)
        digest = ClientCertificateFacts.owned(certificate.digest)
        names = ClientCertificateFacts.owned(
            (certificate.uriNames + certificate.dnsNames + certificate.addressNames).joined(separator: ","))
        fault = ClientCertificateFacts.owned(details.peerFault ?? "")
        // Envoy asks only whether there is a certificate; whoever reads the header believes that it is good.
        guard let config, details.isPeerValidated else { return }
        switch config.mode {
        case .sanitize, .alwaysForwardOnly: return
        case .forwardOnly: header = .keep
        case .appendForward: header = .append
        case .sanitizeSet: header = .set
        }
        if header != .keep {
            element = ClientCertificateFacts.owned(ForwardedCertificate.element(details, details: config.details))
        }
    }

    func free() {
        for bytes in [element, version, cipher, serverName, subject, digest, names, fault] where !bytes.isEmpty {
            bytes.base.deallocate()
        }
    }

    private static func owned(_ text: String) -> Bytes { text.isEmpty ? .empty : Bytes.allocated(text) }
}
