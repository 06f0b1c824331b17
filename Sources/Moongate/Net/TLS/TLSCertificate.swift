import COpenSSL
import MoongateConfig

/// One certificate with its chain and private key, parsed from PEM. Immutable, shared through its context.
final class TLSCertificate {
    /// `X509`, the end entity's certificate.
    let certificate: OpaquePointer
    /// `EVP_PKEY`
    let key: OpaquePointer
    /// `STACK_OF(X509)`, without the end entity's certificate.
    let chain: OpaquePointer
    /// The server names it is valid for, lower case: DNS names of the subject alternative name, else the common name.
    let names: [String]
    /// When the first certificate of the file ends, in seconds since 1970.
    let expiration: Int64

    /// Throws a `Diagnostic` that names the file at fault.
    init(_ config: CertificateConfig, contents: FileContents) throws {
        let certificatePEM = try contents(config.certificate, .certificate)
        let keyPEM = try contents(config.key, .privateKey)
        var certificates = try PEMFile.certificates(certificatePEM, path: config.certificate)
        do {
            key = try PEMFile.privateKey(keyPEM, path: config.key)
        } catch {
            certificates.forEach { X509_free($0) }
            throw error
        }
        expiration = certificates.map { X509Facts(pointer: $0).expiration }.min() ?? 0
        certificate = certificates.removeFirst()
        chain = OPENSSL_sk_new_null()
        for issuer in certificates { OPENSSL_sk_push(chain, UnsafeRawPointer(issuer)) }
        names = TLSCertificate.readNames(certificate)
        guard X509_check_private_key(certificate, key) == 1 else {
            ERR_clear_error()
            throw PEMFile.fault(
                config.key, "the private key does not belong to the certificate in \(config.certificate)",
                hint: "the file must begin with the certificate of the key's owner, its chain after it")
        }
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
        for index in 0..<OPENSSL_sk_num(chain) { X509_free(OpaquePointer(OPENSSL_sk_value(chain, index))) }
        OPENSSL_sk_free(chain)
    }

    var keyType: Int32 { EVP_PKEY_get_base_id(key) }

    private static func readNames(_ certificate: OpaquePointer) -> [String] {
        let facts = X509Facts(pointer: certificate)
        let names = facts.dnsNames.map { $0.lowercased() }
        if !names.isEmpty || facts.commonName.isEmpty { return names }
        return [facts.commonName.lowercased()]
    }
}
