import COpenSSL
import MoongateConfig

/// The TLS side of an upstream in one generation: whom it trusts, what it shows, `h2` as the only protocol.
///
/// `@unchecked Sendable`: everything is set in `init` and never changed; OpenSSL's `SSL_CTX` counts references and
/// locks by itself, and workers only call `SSL_new` on it.
final class TLSClientContext: @unchecked Sendable {
    /// `SSL_CTX`
    let pointer: OpaquePointer
    let config: UpstreamTLSConfig
    /// Faults that do not keep the edge from serving, such as an expired certificate.
    private(set) var warnings: [Diagnostic] = []
    private(set) var expiries: [CertificateExpiry] = []
    private let verification: PeerVerification
    /// Over the files it was made of.
    private let digest: [UInt8]?

    /// Throws what is wrong with the files.
    /// - Parameter contents: a file of the snapshot; it throws if the file cannot be read.
    init(upstream: String, config: UpstreamTLSConfig, contents: FileContents) throws {
        ERR_clear_error()
        self.config = config
        verification = PeerVerification(names: config.names)
        var files = ContentDigest()
        let certificate = try config.certificate.map { files in
            try TLSCertificate(files, contents: contents)
        }
        guard let context = SSL_CTX_new(TLS_client_method()) else {
            throw PEMFile.fault("", "TLS is not available: \(TLSError.takeText())")
        }
        pointer = context
        digest = try TLSClientContext.digest(of: config, contents, &files)
        guard configure(certificate) else {
            throw PEMFile.fault(
                config.certificate?.certificate ?? "",
                "upstream \(upstream): TLS cannot be set up: \(TLSError.takeText())")
        }
        try trust(.upstream(upstream), contents)
        if let certificate, let path = config.certificate?.certificate {
            note(
                CertificateExpiry(
                    owner: .upstream(upstream), kind: .certificate, file: path, notAfter: certificate.expiration),
                notBefore: X509Facts(pointer: certificate.certificate).validFrom)
        }
        if config.skipsVerification {
            warnings.append(
                PEMFile.fault("", "upstream \(upstream): certificates are not verified (insecure_skip_verify)"))
        }
    }

    deinit { SSL_CTX_free(pointer) }

    /// Whether sessions of one can be resumed by the other: nothing has changed, in the files neither.
    func isSame(as other: TLSClientContext) -> Bool {
        self === other || (digest != nil && digest == other.digest && config == other.config)
    }

    /// Whom a server's certificate must be for if the configuration lists no names.
    /// - Parameter host: of the endpoint, a name or an address.
    func expectedName(of host: String) -> PeerName? {
        guard !config.skipsVerification, config.names.isEmpty else { return nil }
        if let name = config.serverName { return .dns(name) }
        return SocketAddress(host: host, port: 0) == nil ? .dns(host) : .address(host)
    }

    /// What a server is asked for (SNI); addresses are not (RFC 6066 §3).
    func requestedName(of host: String) -> String? {
        config.serverName ?? (SocketAddress(host: host, port: 0) == nil ? host : nil)
    }

    private static func digest(
        of config: UpstreamTLSConfig, _ contents: FileContents, _ digest: inout ContentDigest
    ) throws -> [UInt8]? {
        if let own = config.certificate {
            digest.add(try contents(own.certificate, .certificate))
            digest.add(try contents(own.key, .privateKey))
        }
        if let path = config.revocationLists { digest.add(try contents(path, .revocationLists)) }
        if case .file(let path) = config.trust { digest.add(try contents(path, .authorities)) }
        return digest.value
    }

    private func configure(_ certificate: TLSCertificate?) -> Bool {
        mg_tls_client_defaults(pointer)
        SSL_CTX_sess_set_new_cb(pointer, keepSession)
        // `config` is kept by this context, which sessions keep.
        SSL_CTX_set_cert_verify_callback(pointer, verifyPeer, Unmanaged.passUnretained(verification).toOpaque())
        SSL_CTX_set_verify(pointer, config.skipsVerification ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nil)
        let offer: [UInt8] = [2] + Array("h2".utf8)
        guard SSL_CTX_set_alpn_protos(pointer, offer, UInt32(offer.count)) == 0,
            TLSTrust.use(config.parameters, in: pointer)
        else { return false }
        guard let certificate else { return true }
        return SSL_CTX_use_cert_and_key(pointer, certificate.certificate, certificate.key, certificate.chain, 1) == 1
    }

    private func trust(_ owner: CertificateExpiry.Owner, _ contents: FileContents) throws {
        guard !config.skipsVerification else { return }
        switch config.trust {
        case .system:
            guard SSL_CTX_set_default_verify_paths(pointer) == 1 else {
                throw PEMFile.fault("", "the system's authorities cannot be read: \(TLSError.takeText())")
            }
        case .file(let path):
            let dates = try TLSTrust.addAuthorities(
                try contents(path, .authorities), path: path, to: pointer, announce: false)
            note(
                CertificateExpiry(owner: owner, kind: .authorities, file: path, notAfter: dates.notAfter),
                notBefore: dates.notBefore)
        }
        if let path = config.revocationLists {
            let end = try TLSTrust.addRevocationLists(try contents(path, .revocationLists), path: path, to: pointer)
            note(CertificateExpiry(owner: owner, kind: .revocationLists, file: path, notAfter: end))
        }
    }

    private func note(_ expiry: CertificateExpiry, notBefore: Int64 = 0) {
        expiries.append(expiry)
        if let warning = expiry.warning(notBefore: notBefore) { warnings.append(warning) }
    }
}
