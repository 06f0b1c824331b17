import COpenSSL
import MoongateConfig

/// What stands in PEM files (RFC 7468). Faults name the file.
enum PEMFile {
    /// `X509`, at least one, to be freed by the caller.
    static func certificates(_ pem: [UInt8], path: String) throws(Diagnostic) -> [OpaquePointer] {
        let (found, code) = all(pem) { PEM_read_bio_X509($0, nil, refusePassphrase, nil) }
        return try checked(found, code, "certificate", "-----BEGIN CERTIFICATE-----", path) { X509_free($0) }
    }

    /// `X509_CRL`, at least one, to be freed by the caller.
    static func revocationLists(_ pem: [UInt8], path: String) throws(Diagnostic) -> [OpaquePointer] {
        let (found, code) = all(pem) { PEM_read_bio_X509_CRL($0, nil, refusePassphrase, nil) }
        return try checked(found, code, "revocation list", "-----BEGIN X509 CRL-----", path) { X509_CRL_free($0) }
    }

    /// `EVP_PKEY`, to be freed by the caller.
    static func privateKey(_ pem: [UInt8], path: String) throws(Diagnostic) -> OpaquePointer {
        var isEncrypted = false
        let key = withMemoryBIO(pem) { bio in PEM_read_bio_PrivateKey(bio, nil, refusePassphrase, &isEncrypted) }
        if let key { return key }
        let reason = TLSError.takeText()
        if isEncrypted {
            throw fault(path, "the private key is encrypted", hint: "store it without a passphrase: openssl pkey -in …")
        }
        throw fault(path, "there is no private key in it: \(reason)", hint: "expected PEM: -----BEGIN PRIVATE KEY-----")
    }

    static func fault(_ path: String, _ message: String, hint: String? = nil) -> Diagnostic {
        Diagnostic(location: SourceLocation(file: path, line: 0, column: 0), message: message, hint: hint)
    }

    /// Everything of one kind, and the code of what ended the search.
    private static func all(
        _ pem: [UInt8], _ read: (OpaquePointer?) -> OpaquePointer?
    ) -> (found: [OpaquePointer], code: UInt) {
        withMemoryBIO(pem) { bio in
            var found: [OpaquePointer] = []
            while let item = read(bio) { found.append(item) }
            let code = ERR_peek_last_error()
            ERR_clear_error()
            return (found, code)
        }
    }

    private static func checked(
        _ found: [OpaquePointer], _ code: UInt, _ kind: String, _ form: String, _ path: String,
        _ free: (OpaquePointer) -> Void
    ) throws(Diagnostic) -> [OpaquePointer] {
        // The end of the file shows as one more that does not begin.
        let isEnd = Int32(truncatingIfNeeded: code & 0x7F_FFFF) == PEM_R_NO_START_LINE
        if isEnd && !found.isEmpty { return found }
        found.forEach(free)
        let message =
            isEnd
            ? "there is no \(kind) in it" : "\(kind) \(found.count + 1) cannot be read: \(TLSError.text(code))"
        throw fault(path, message, hint: "expected PEM: \(form)")
    }

    private static func withMemoryBIO<Result>(_ bytes: [UInt8], _ body: (OpaquePointer?) -> Result) -> Result {
        ERR_clear_error()
        return bytes.withUnsafeBytes { buffer in
            let bio = BIO_new_mem_buf(buffer.baseAddress, Int32(clamping: buffer.count))
            defer { BIO_free(bio) }
            return body(bio)
        }
    }
}
