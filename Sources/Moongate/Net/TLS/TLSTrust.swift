import COpenSSL
import MoongateConfig

/// Puts what peers are judged by into a context's store.
enum TLSTrust {
    /// Adds every certificate of a PEM file as an authority, also one that another has signed.
    /// - Parameter names: announce the authorities to clients, which choose their certificate by them.
    static func addAuthorities(
        _ pem: [UInt8], path: String, to context: OpaquePointer, announce: Bool
    ) throws(Diagnostic) -> (notBefore: Int64, notAfter: Int64) {
        let certificates = try PEMFile.certificates(pem, path: path)
        defer { certificates.forEach { X509_free($0) } }
        let store = SSL_CTX_get_cert_store(context)
        for certificate in certificates {
            ERR_clear_error()
            guard X509_STORE_add_cert(store, certificate) == 1 else {
                throw PEMFile.fault(path, "a certificate cannot be used: \(TLSError.takeText())")
            }
            if announce { SSL_CTX_add_client_CA(context, certificate) }
        }
        X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN))
        let facts = certificates.map { X509Facts(pointer: $0) }
        return (facts.map(\.validFrom).max() ?? 0, facts.map(\.expiration).min() ?? 0)
    }

    /// Adds the lists of a PEM file; every authority of a chain needs one from now on.
    /// - Returns: when the first list ends, in seconds since 1970; 0: none does.
    static func addRevocationLists(
        _ pem: [UInt8], path: String, to context: OpaquePointer
    ) throws(Diagnostic) -> Int64 {
        let lists = try PEMFile.revocationLists(pem, path: path)
        defer { lists.forEach { X509_CRL_free($0) } }
        let store = SSL_CTX_get_cert_store(context)
        for list in lists {
            ERR_clear_error()
            guard X509_STORE_add_crl(store, list) == 1 else {
                throw PEMFile.fault(path, "a revocation list cannot be used: \(TLSError.takeText())")
            }
        }
        X509_STORE_set_flags(store, UInt(X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL))
        return lists.compactMap { X509_CRL_get0_nextUpdate($0) }.map { X509Facts.seconds($0) }.min() ?? 0
    }

    /// Versions, cipher suites and curves.
    static func use(_ parameters: TLSParameters, in context: OpaquePointer) -> Bool {
        let curves = parameters.curves.isEmpty ? [.x25519, .p256, .p384] : parameters.curves
        let groups = curves.map(\.rawValue).joined(separator: ":")
        return mg_tls_set_versions(context, number(parameters.minimumVersion), number(parameters.maximumVersion)) == 1
            && mg_tls_set_groups(context, groups) == 1
            && SSL_CTX_set_cipher_list(context, list(parameters.ciphers, .v1_2) ?? ciphers) == 1
            && (list(parameters.ciphers, .v1_3).map { SSL_CTX_set_ciphersuites(context, $0) == 1 } ?? true)
    }

    /// RFC 9113 §9.2.2: ephemeral key exchange and AEAD only. TLS 1.3 has no others.
    private static let ciphers = """
        ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:\
        ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384
        """

    private static func list(_ ciphers: [TLSCipher], _ version: TLSVersion) -> String? {
        let names = ciphers.filter { $0.version == version }.map(\.rawValue)
        return names.isEmpty ? nil : names.joined(separator: ":")
    }

    private static func number(_ version: TLSVersion) -> Int32 {
        version == .v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION
    }
}
