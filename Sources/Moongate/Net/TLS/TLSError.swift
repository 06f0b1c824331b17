import COpenSSL

/// The words for OpenSSL's error codes.
enum TLSError {
    /// `no shared cipher`, `Connection reset by peer`.
    static func text(_ code: UInt) -> String {
        if let reason = ERR_reason_error_string(code) { return String(cString: reason) }
        // OpenSSL marks a wrapped errno by the highest of the 32 bits (ERR_SYSTEM_FLAG).
        if code & 0x8000_0000 != 0 { return SystemError.text(of: Int32(code & 0x7FFF_FFFF)) }
        return "TLS error \(code)"
    }

    /// The words for a verdict on a certificate: `certificate has expired`.
    static func text(ofVerdict verdict: Int32) -> String {
        String(cString: X509_verify_cert_error_string(Int(verdict)))
    }

    /// Whether the code says that a certificate was refused.
    static func isRefusal(_ code: UInt) -> Bool {
        Int32(truncatingIfNeeded: code >> 23 & 0xFF) == ERR_LIB_SSL
            && Int32(truncatingIfNeeded: code & 0x7F_FFFF) == SSL_R_CERTIFICATE_VERIFY_FAILED
    }

    /// The reason of the latest fault on this thread; the queue is empty afterwards.
    static func takeText() -> String {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        return code == 0 ? "unknown reason" : text(code)
    }
}
