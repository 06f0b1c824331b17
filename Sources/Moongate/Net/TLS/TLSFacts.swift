import COpenSSL

/// What a finished handshake says about both sides. This one says nothing.
class TLSFacts {
    init() {}

    /// The certificate that the client was shown.
    var localCertificate: X509Facts? { nil }

    /// The client's certificate; `nil` if it gave none.
    var peerCertificate: X509Facts? { nil }

    /// The client's certificate and those that it sent behind it.
    var peerChain: [X509Facts] { [] }

    /// The client gave a certificate and nothing was found wrong with it.
    var isPeerValidated: Bool { false }

    /// Why the client's certificate is not to be believed; `nil` if it is, or if there is none.
    var peerFault: String? { nil }

    /// In hexadecimal; empty without one.
    var sessionID: String { "" }

    /// The number of the cipher suite in TLS (`0x1301` is TLS_AES_128_GCM_SHA256); 0xffff before the handshake.
    var cipherID: UInt16 { 0xffff }
}

/// The facts of a real handshake, read from OpenSSL only when somebody asks.
final class HandshakeFacts: TLSFacts {
    /// `SSL`
    private let session: OpaquePointer
    /// Whoever frees `session`.
    private let owner: AnyObject

    /// - Parameter owner: keeps `session` alive.
    init(_ session: OpaquePointer, owner: AnyObject) {
        self.session = session
        self.owner = owner
        super.init()
    }

    /// On a session that was resumed none is shown: then the one that a full handshake would show.
    override var localCertificate: X509Facts? {
        let shown = SSL_get_certificate(session) ?? TLSServerContext.from(session: session)?.certificate(for: session)
        return shown.map { X509Facts(pointer: $0) }
    }

    override var peerCertificate: X509Facts? { SSL_get0_peer_certificate(session).map { X509Facts(pointer: $0) } }

    override var peerChain: [X509Facts] {
        guard let own = peerCertificate else { return [] }
        guard let list = SSL_get_peer_cert_chain(session) else { return [own] }
        let others = (0..<max(0, OPENSSL_sk_num(list))).compactMap { OPENSSL_sk_value(list, $0) }
            .map { X509Facts(pointer: OpaquePointer($0)) }
        // A server gets the chain without the client's own certificate, a client with the server's.
        let first = others.first.map { X509_cmp($0.pointer, own.pointer) == 0 } ?? false
        return first ? others : [own] + others
    }

    override var isPeerValidated: Bool {
        peerCertificate != nil && SSL_get_verify_result(session) == Int(X509_V_OK)
            && SSL_get_verify_mode(session) & SSL_VERIFY_PEER != 0
    }

    override var peerFault: String? {
        guard peerCertificate != nil, !isPeerValidated else { return nil }
        let verdict = SSL_get_verify_result(session)
        return verdict == Int(X509_V_OK) ? "not verified" : TLSError.text(ofVerdict: Int32(clamping: verdict))
    }

    /// Sessions of TLS 1.3 have none (RFC 8446 §2.2), what OpenSSL has is its own.
    override var sessionID: String {
        guard SSL_version(session) < TLS1_3_VERSION, let current = SSL_get_session(session) else { return "" }
        var count: UInt32 = 0
        guard let id = SSL_SESSION_get_id(current, &count) else { return "" }
        return X509Facts.hexadecimal(UnsafeBufferPointer(start: id, count: Int(count)))
    }

    override var cipherID: UInt16 {
        guard let cipher = SSL_get_current_cipher(session) else { return 0xffff }
        return SSL_CIPHER_get_protocol_id(cipher)
    }
}
