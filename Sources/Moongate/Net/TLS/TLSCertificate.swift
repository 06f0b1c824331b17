import COpenSSL
import Glibc
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

    /// Throws a `Diagnostic` that names the file at fault.
    init(_ config: ListenerTLSConfig.Certificate, contents: (String) throws -> [UInt8]) throws {
        let certificatePEM = try contents(config.certificate)
        let keyPEM = try contents(config.key)
        var certificates = try TLSCertificate.parseCertificates(certificatePEM, path: config.certificate)
        do {
            key = try TLSCertificate.parseKey(keyPEM, path: config.key)
        } catch {
            certificates.forEach { X509_free($0) }
            throw error
        }
        certificate = certificates.removeFirst()
        chain = OPENSSL_sk_new_null()
        for issuer in certificates { OPENSSL_sk_push(chain, UnsafeRawPointer(issuer)) }
        names = TLSCertificate.readNames(certificate)
        guard X509_check_private_key(certificate, key) == 1 else {
            ERR_clear_error()
            throw TLSCertificate.fault(
                config.key, "the private key does not belong to the certificate in \(config.certificate)",
                hint: "the file must begin with the server's own certificate, its chain after it")
        }
    }

    deinit {
        X509_free(certificate)
        EVP_PKEY_free(key)
        for index in 0..<OPENSSL_sk_num(chain) { X509_free(OpaquePointer(OPENSSL_sk_value(chain, index))) }
        OPENSSL_sk_free(chain)
    }

    var keyType: Int32 { EVP_PKEY_get_base_id(key) }

    /// What is wrong with the dates, for a warning: clients will refuse the certificate, the server can still serve.
    var dateFault: String? {
        if X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0 { return "the certificate has expired" }
        if X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0 { return "the certificate is not valid yet" }
        return nil
    }

    private static func fault(_ path: String, _ message: String, hint: String? = nil) -> Diagnostic {
        Diagnostic(location: SourceLocation(file: path, line: 0, column: 0), message: message, hint: hint)
    }
}

extension TLSCertificate {
    /// At least one.
    private static func parseCertificates(_ pem: [UInt8], path: String) throws -> [OpaquePointer] {
        var certificates: [OpaquePointer] = []
        let reason = withMemoryBIO(pem) { bio -> String? in
            while let certificate = PEM_read_bio_X509(bio, nil, refusePassphrase, nil) {
                certificates.append(certificate)
            }
            let code = ERR_peek_last_error()
            defer { ERR_clear_error() }
            // The end of the file shows as one more certificate that does not begin.
            let reason = Int32(truncatingIfNeeded: code & 0x7F_FFFF)
            if reason == PEM_R_NO_START_LINE { return certificates.isEmpty ? "there is no certificate in it" : nil }
            return "certificate \(certificates.count + 1) cannot be read: \(TLSError.text(code))"
        }
        guard let reason else { return certificates }
        certificates.forEach { X509_free($0) }
        throw fault(path, reason, hint: "expected PEM: -----BEGIN CERTIFICATE-----")
    }

    private static func parseKey(_ pem: [UInt8], path: String) throws -> OpaquePointer {
        var isEncrypted = false
        let key = withMemoryBIO(pem) { bio in PEM_read_bio_PrivateKey(bio, nil, refusePassphrase, &isEncrypted) }
        if let key { return key }
        let reason = TLSError.takeText()
        if isEncrypted {
            throw fault(path, "the private key is encrypted", hint: "store it without a passphrase: openssl pkey -in …")
        }
        throw fault(path, "there is no private key in it: \(reason)", hint: "expected PEM: -----BEGIN PRIVATE KEY-----")
    }

    private static func withMemoryBIO<Result>(_ bytes: [UInt8], _ body: (OpaquePointer?) -> Result) -> Result {
        ERR_clear_error()
        return bytes.withUnsafeBytes { buffer in
            let bio = BIO_new_mem_buf(buffer.baseAddress, Int32(clamping: buffer.count))
            defer { BIO_free(bio) }
            return body(bio)
        }
    }

    private static func readNames(_ certificate: OpaquePointer) -> [String] {
        var names: [String] = []
        if let list = X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) {
            let stack = OpaquePointer(list)
            defer { GENERAL_NAMES_free(stack) }
            for index in 0..<OPENSSL_sk_num(stack) {
                guard let entry = OPENSSL_sk_value(stack, index) else { continue }
                var kind: Int32 = 0
                let value = GENERAL_NAME_get0_value(entry.assumingMemoryBound(to: GENERAL_NAME.self), &kind)
                if kind == GEN_DNS, let value { names.append(text(value.assumingMemoryBound(to: ASN1_STRING.self))) }
            }
        }
        if names.isEmpty, let subject = X509_get_subject_name(certificate) {
            let position = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
            if position >= 0, let value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, position)) {
                names.append(text(value))
            }
        }
        return names
    }

    private static func text(_ string: UnsafePointer<ASN1_STRING>) -> String {
        let bytes = UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string)))
        return String(decoding: bytes, as: UTF8.self).lowercased()
    }
}
