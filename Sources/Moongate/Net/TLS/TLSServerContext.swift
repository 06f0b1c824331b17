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
    let warnings: [Diagnostic]
    private let certificates: [TLSCertificate]
    private let index: CertificateIndex

    /// RFC 9113 §9.2.2: ephemeral key exchange and AEAD only. TLS 1.3 has no others.
    private static let ciphers = """
        ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:\
        ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384
        """
    /// Seconds until a session must be negotiated afresh.
    private static let sessionLifetime = 3600

    /// Throws a `DiagnosticList` with everything that is wrong with the certificates.
    /// - Parameters:
    ///   - listener: tickets are bound to this name: no other listener takes them.
    ///   - contents: a file of the snapshot; it throws if the file cannot be read.
    init(
        listener: String, config: ListenerTLSConfig, ticketKeys: TicketKeys, contents: (String) throws -> [UInt8]
    ) throws {
        certificates = try TLSServerContext.load(config.certificates, contents)
        index = CertificateIndex(certificates.map { .init(names: $0.names, keyType: $0.keyType) })
        warnings = zip(config.certificates, certificates).compactMap { config, certificate in
            certificate.dateFault.map { TLSServerContext.fault(config.certificate, $0) }
        }
        self.ticketKeys = ticketKeys
        guard let context = SSL_CTX_new(TLS_server_method()) else {
            throw DiagnosticList([TLSServerContext.fault("", "TLS is not available: \(TLSError.takeText())")])
        }
        pointer = context
        guard configure(listener, config) else {
            throw DiagnosticList([TLSServerContext.fault("", "TLS cannot be set up: \(TLSError.takeText())")])
        }
        try checkCertificates(config.certificates)
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
    private func configure(_ listener: String, _ config: ListenerTLSConfig) -> Bool {
        ERR_clear_error()
        let version = config.minimumVersion == .v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION
        // Sessions hold the context, so the callbacks' pointer to it never outlives it.
        let argument = Unmanaged.passUnretained(self).toOpaque()
        SSL_CTX_set_timeout(pointer, TLSServerContext.sessionLifetime)
        SSL_CTX_set_client_hello_cb(pointer, inspectClientHello, nil)
        SSL_CTX_set_alpn_select_cb(pointer, selectProtocol, nil)
        SSL_CTX_set_cert_cb(pointer, chooseCertificate, argument)
        mg_tls_set_servername_callback(pointer, acceptServerName)
        return mg_tls_server_defaults(pointer) == 1
            && mg_tls_set_minimum_version(pointer, version) == 1
            && SSL_CTX_set_cipher_list(pointer, TLSServerContext.ciphers) == 1
            && SSL_CTX_set_ex_data(pointer, 0, argument) == 1
            && SSL_CTX_set_tlsext_ticket_key_evp_cb(pointer, useTicketKey) == 1
            && bindSessions(to: listener)
    }

    /// A session id context has at most 32 bytes, the length of a SHA-256 digest.
    private func bindSessions(to listener: String) -> Bool {
        var digest = [UInt8](repeating: 0, count: Int(SSL_MAX_SID_CTX_LENGTH))
        let name = Array(listener.utf8)
        return EVP_Digest(name, name.count, &digest, nil, EVP_sha256(), nil) == 1
            && SSL_CTX_set_session_id_context(pointer, digest, UInt32(digest.count)) == 1
    }

    private static func load(
        _ configs: [ListenerTLSConfig.Certificate], _ contents: (String) throws -> [UInt8]
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
    private func checkCertificates(_ configs: [ListenerTLSConfig.Certificate]) throws {
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
