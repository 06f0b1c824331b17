import COpenSSL
import MoongateConfig

/// How a peer's certificate is judged: by OpenSSL's verdict on the chain, and by its names. Immutable, kept by a context.
final class PeerVerification: Sendable {
    private let names: [PeerName]
    /// Lets a bad certificate in; its fault stays with the session.
    private let isLenient: Bool

    init(names: [PeerName], isLenient: Bool = false) {
        self.names = names
        self.isLenient = isLenient
    }

    /// Whether the handshake may go on. `store`: `X509_STORE_CTX`.
    func accepts(_ store: OpaquePointer) -> Bool {
        if X509_verify_cert(store) == 1 {
            guard !names.isEmpty, let own = X509_STORE_CTX_get0_cert(store) else { return true }
            if names.contains(where: { PeerVerification.matches($0, own) }) { return true }
            X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH)
            TLSSession.verifying(store)?.expectedName = names.map(\.text).joined(separator: " or ")
        }
        TLSSession.verifying(store)?.noteRefusal(store)
        ERR_clear_error()
        return isLenient
    }

    /// Subject alternative names only: the common name has not counted since RFC 6125.
    static func matches(_ name: PeerName, _ certificate: OpaquePointer) -> Bool {
        switch name {
        case .dns(let text):
            // OpenSSL takes a dot at the start for any label before it.
            let isWildcard = text.hasPrefix("*.")
            let wanted = isWildcard ? String(text.dropFirst()) : text
            let flags = hostFlags | UInt32(isWildcard ? X509_CHECK_FLAG_SINGLE_LABEL_SUBDOMAINS : 0)
            return X509_check_host(certificate, wanted, wanted.utf8.count, flags, nil) == 1
        case .uri(let text):
            return X509Facts(pointer: certificate).uriNames.contains(text)
        case .address(let text):
            return X509_check_ip_asc(certificate, text, 0) == 1
        }
    }

    /// RFC 6125 §6.4: no subject, and a wildcard is a whole label.
    static let hostFlags = UInt32(X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS)
}
