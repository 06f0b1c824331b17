import COpenSSL
import Glibc
import MoongateConfig

/// The TLS side of a listener in one generation: certificates, versions, ciphers, `h2` as the only protocol.
///
/// `@unchecked Sendable`: everything is set in `init` and never changed; OpenSSL's `SSL_CTX` counts references and
/// locks by itself, and workers only call `SSL_new` on it.
final class TLSServerContext: @unchecked Sendable {
    /// `SSL_CTX`
    let pointer: OpaquePointer
    let ticketKeys: TicketKeys
    /// Faults that do not keep the server from starting, such as an expired certificate.
    private(set) var warnings: [Diagnostic] = []
    private(set) var expiries: [CertificateExpiry] = []
    private let certificates: [TLSCertificate]
    private let index: CertificateIndex
    /// `nil`: clients are not asked for certificates.
    private let verification: PeerVerification?

    /// Seconds until a session must be negotiated afresh.
    private static let sessionLifetime = 3600

    /// Throws a `DiagnosticList` or a `Diagnostic` with what is wrong with the files.
    /// - Parameters:
    ///   - listener: tickets are bound to this name, and to whom it trusts: no other listener takes them.
    ///   - contents: a file of the snapshot; it throws if the file cannot be read.
    init(
        listener: String, config: ListenerTLSConfig, ticketKeys: TicketKeys, contents: FileContents
    ) throws {
        certificates = try TLSServerContext.load(config.certificates, contents)
        index = CertificateIndex(certificates.map { .init(names: $0.names, keyType: $0.keyType) })
        self.ticketKeys = ticketKeys
        verification = config.clientCertificates.map {
            PeerVerification(names: $0.names, isLenient: $0.mode == .request)
        }
        ERR_clear_error()
        guard let context = SSL_CTX_new(TLS_server_method()) else {
            throw DiagnosticList([TLSServerContext.fault("", "TLS is not available: \(TLSError.takeText())")])
        }
        pointer = context
        guard configure(config) else {
            throw DiagnosticList([TLSServerContext.fault("", "TLS cannot be set up: \(TLSError.takeText())")])
        }
        for (config, certificate) in zip(config.certificates, certificates) {
            note(
                CertificateExpiry(
                    owner: .listener(listener), kind: .certificate, file: config.certificate,
                    notAfter: certificate.expiration),
                notBefore: X509Facts(pointer: certificate.certificate).validFrom)
        }
        try checkCertificates(config.certificates)
        var binding = ContentDigest()
        binding.add(listener)
        if let clients = config.clientCertificates { try ask(clients, listener, contents, &binding) }
        guard let sessions = binding.value,
            SSL_CTX_set_session_id_context(pointer, sessions, UInt32(sessions.count)) == 1
        else { throw DiagnosticList([TLSServerContext.fault("", "TLS cannot be set up: \(TLSError.takeText())")]) }
    }

    deinit { SSL_CTX_free(pointer) }

    /// The chosen protocol as it stands in the client's offer (RFC 7301 §3.1); `nil` if the client has no `h2`.
    static func findHTTP2(_ offer: Bytes) -> Bytes? {
        var rest = offer
        while let length = rest.isEmpty ? nil : Int(rest[0]), length < rest.count {
            let name = rest[1..<(1 + length)]
            if name.equals("h2") { return name }
            rest = rest[(1 + length)..<rest.count]
        }
        return nil
    }

    /// `X509`: the first certificate for the name that a session asks for.
    func certificate(for session: OpaquePointer) -> OpaquePointer? {
        let name = SSL_get_servername(session, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) }
        return index.choose(serverName: name).first.map { certificates[$0].certificate }
    }

    /// There are several certificates, so that a connection can be the wrong one for a name.
    var servesSeveralNames: Bool { certificates.count > 1 }

    /// Whether requests for `host` belong on another connection than one that was made for `serverName`: a certificate
    /// names it better than every one that the client was offered there. A host that none names belongs anywhere.
    func isMisdirected(_ host: String, on serverName: String) -> Bool {
        let owners = index.owners(of: host)
        return !owners.isEmpty && Set(owners).isDisjoint(with: index.choose(serverName: serverName))
    }

    /// Gives a handshake the certificates of the name it asks for.
    func useCertificates(for session: OpaquePointer) -> Bool {
        let name = SSL_get_servername(session, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) }
        SSL_certs_clear(session)
        return index.choose(serverName: name).allSatisfy { use(certificates[$0], in: session) }
    }

    /// The context that a callback's argument stands for.
    static func from(_ argument: UnsafeMutableRawPointer?) -> TLSServerContext? {
        argument.map { Unmanaged<TLSServerContext>.fromOpaque($0).takeUnretainedValue() }
    }

    static func from(session: OpaquePointer) -> TLSServerContext? {
        from(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(session), 0))
    }

    private func use(_ certificate: TLSCertificate, in session: OpaquePointer) -> Bool {
        SSL_use_cert_and_key(session, certificate.certificate, certificate.key, certificate.chain, 1) == 1
    }
}

extension TLSServerContext {
    private func configure(_ config: ListenerTLSConfig) -> Bool {
        // Sessions hold the context, so the callbacks' pointer to it never outlives it.
        let argument = Unmanaged.passUnretained(self).toOpaque()
        mg_tls_server_defaults(pointer)
        SSL_CTX_set_timeout(pointer, TLSServerContext.sessionLifetime)
        SSL_CTX_set_client_hello_cb(pointer, inspectClientHello, nil)
        SSL_CTX_set_alpn_select_cb(pointer, selectProtocol, nil)
        SSL_CTX_set_cert_cb(pointer, chooseCertificate, argument)
        mg_tls_set_servername_callback(pointer, acceptServerName)
        return TLSTrust.use(config.parameters, in: pointer)
            && SSL_CTX_set_ex_data(pointer, 0, argument) == 1
            && SSL_CTX_set_tlsext_ticket_key_evp_cb(pointer, useTicketKey) == 1
            && SSL_CTX_set_session_ticket_cb(pointer, nil, judgeTicket, nil) == 1
    }

    /// Asks clients for certificates. Sessions are bound to everything by which those were judged: a ticket spares the
    /// verification, so it must not outlive the rules.
    private func ask(
        _ clients: ClientCertificatesConfig, _ listener: String, _ contents: FileContents,
        _ binding: inout ContentDigest
    ) throws {
        guard let verification else { return }
        SSL_CTX_set_cert_verify_callback(pointer, verifyPeer, Unmanaged.passUnretained(verification).toOpaque())
        let isRequired = clients.mode == .required
        SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER | (isRequired ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nil)
        SSL_CTX_set_verify_depth(pointer, Int32(clamping: clients.depth))
        binding.add("\(clients.mode) \(clients.depth)")
        for name in clients.names { binding.add(name.text) }
        if let path = clients.authorities {
            let pem = try contents(path, .authorities)
            binding.add(pem)
            let dates = try TLSTrust.addAuthorities(pem, path: path, to: pointer, announce: true)
            note(
                CertificateExpiry(
                    owner: .listener(listener), kind: .authorities, file: path, notAfter: dates.notAfter),
                notBefore: dates.notBefore)
        }
        if let path = clients.revocationLists {
            let pem = try contents(path, .revocationLists)
            binding.add(pem)
            let end = try TLSTrust.addRevocationLists(pem, path: path, to: pointer)
            note(CertificateExpiry(owner: .listener(listener), kind: .revocationLists, file: path, notAfter: end))
        }
    }

    private func note(_ expiry: CertificateExpiry, notBefore: Int64 = 0) {
        expiries.append(expiry)
        if let warning = expiry.warning(notBefore: notBefore) { warnings.append(warning) }
    }

    private static func load(
        _ configs: [CertificateConfig], _ contents: FileContents
    ) throws -> [TLSCertificate] {
        var certificates: [TLSCertificate] = []
        var faults: [Diagnostic] = []
        for config in configs {
            do {
                certificates.append(try TLSCertificate(config, contents: contents))
            } catch let fault as Diagnostic {
                faults.append(fault)
            } catch let list as DiagnosticList {
                faults += list.diagnostics
            } catch {
                faults.append(fault(config.certificate, "\(error)"))
            }
        }
        if configs.isEmpty { faults.append(fault("", "TLS needs at least one certificate")) }
        guard faults.isEmpty else { throw DiagnosticList(faults) }
        return certificates
    }

    /// OpenSSL's own verdict on each certificate, such as a key too short for its security level: better now than
    /// in the first handshake.
    private func checkCertificates(_ configs: [CertificateConfig]) throws {
        var faults: [Diagnostic] = []
        for (config, certificate) in zip(configs, certificates) {
            ERR_clear_error()
            guard let trial = SSL_new(pointer) else { continue }
            defer { SSL_free(trial) }
            if use(certificate, in: trial) { continue }
            faults.append(
                TLSServerContext.fault(config.certificate, "the certificate cannot be used: \(TLSError.takeText())"))
        }
        guard faults.isEmpty else { throw DiagnosticList(faults) }
    }

    private static func fault(_ path: String, _ message: String) -> Diagnostic {
        Diagnostic(location: SourceLocation(file: path, line: 0, column: 0), message: message)
    }
}
