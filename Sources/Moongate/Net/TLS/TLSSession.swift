import COpenSSL
import Glibc

/// TLS on one connection, from a client or to a server. Owned by the connection, used on its thread; it does not close
/// the socket.
final class TLSSession {
    let fd: Int32
    /// `SSL`
    private let pointer: OpaquePointer
    /// The context, kept alive for the callbacks.
    private let context: AnyObject
    /// The server that we speak to; `nil` towards a client.
    let peer: TLSPeer?
    private(set) var isEstablished = false
    /// Set once the connection is of no further use; OpenSSL must not be asked again after a fatal fault.
    private var failure: IOFailure?
    private var peerHasClosed = false
    /// Whom the peer's certificate should have been for.
    var expectedName: String?
    /// Why its certificate was refused, where there is more to say than OpenSSL does.
    private var refusal: String?

    /// Towards a client. `nil` if memory is short.
    init?(_ context: TLSServerContext, fd: Int32) {
        ERR_clear_error()
        guard let session = SSL_new(context.pointer) else { return nil }
        pointer = session
        self.context = context
        self.fd = fd
        peer = nil
        guard SSL_set_fd(session, fd) == 1, isKnownToCallbacks() else { return nil }
        SSL_set_accept_state(session)
    }

    /// Towards a server. `nil` if memory is short.
    init?(to peer: TLSPeer, fd: Int32) {
        ERR_clear_error()
        guard let session = SSL_new(peer.context.pointer) else { return nil }
        pointer = session
        context = peer.context
        self.fd = fd
        self.peer = peer
        guard SSL_set_fd(session, fd) == 1, isKnownToCallbacks(), expect(peer) else { return nil }
        SSL_set_connect_state(session)
    }

    deinit { SSL_free(pointer) }

    /// The session that an `SSL` belongs to.
    static func from(_ session: OpaquePointer) -> TLSSession? {
        SSL_get_ex_data(session, 0).map { Unmanaged<TLSSession>.fromOpaque($0).takeUnretainedValue() }
    }

    /// The session whose peer's certificate is being judged; `store`: `X509_STORE_CTX`.
    static func verifying(_ store: OpaquePointer) -> TLSSession? {
        X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx())
            .flatMap { TLSSession.from(OpaquePointer($0)) }
    }

    /// Remembers more of a refusal than OpenSSL's verdict says.
    func noteRefusal(_ store: OpaquePointer) {
        let verdict = X509_STORE_CTX_get_error(store)
        guard verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH,
            let certificate = X509_STORE_CTX_get0_cert(store)
        else { return }
        let facts = X509Facts(pointer: certificate)
        let names = (facts.dnsNames + facts.uriNames + facts.addressNames).prefix(8).joined(separator: ", ")
        let expected = expectedName.map { ", not for \($0)" } ?? ""
        refusal = "the certificate is for \(names.isEmpty ? "no name" : names)\(expected)"
    }

    /// Why the connection is of no further use; empty while it is.
    var failureText: String { refusal ?? failure?.reason ?? "" }

    func handshake() -> HandshakeResult {
        if let failure { return .failed(failure) }
        if isEstablished { return .finished }
        ERR_clear_error()
        errno = 0
        let status = SSL_do_handshake(pointer)
        guard status == 1 else {
            switch outcome(.handshake, status, errno) {
            case .wouldBlockRead: return .wouldBlockRead
            case .wouldBlockWrite: return .wouldBlockWrite
            case .failed(let failure): return .failed(failure)
            case .closed, .bytes: return .failed(fail(.handshake, .closedByPeer))
            }
        }
        guard hasHTTP2 else {
            return .failed(fail(.handshake, peer == nil ? .noHTTP2 : .serverWithoutHTTP2))
        }
        isEstablished = true
        return .finished
    }

    /// Fills the buffer as far as bytes are there.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        guard let base = buffer.baseAddress else { return .bytes(0) }
        var total = 0
        while total < buffer.count {
            if let failure { return total > 0 ? .bytes(total) : .failed(failure) }
            if peerHasClosed { return total > 0 ? .bytes(total) : .closed }
            ERR_clear_error()
            errno = 0
            var count = 0
            let status = SSL_read_ex(pointer, base + total, buffer.count - total, &count)
            if status == 1 {
                total += count
                continue
            }
            let end = outcome(.read, status, errno)
            return total > 0 ? .bytes(total) : end
        }
        return .bytes(total)
    }

    /// Writes record by record until everything is written or the socket is full.
    func write(_ bytes: Bytes) -> IOResult {
        var total = 0
        while total < bytes.count {
            if let failure { return total > 0 ? .bytes(total) : .failed(failure) }
            ERR_clear_error()
            errno = 0
            var count = 0
            let status = SSL_write_ex(pointer, bytes.base + total, bytes.count - total, &count)
            if status == 1 {
                total += count
                continue
            }
            let end = outcome(.write, status, errno)
            return total > 0 ? .bytes(total) : end
        }
        return .bytes(total)
    }

    /// What a peer said before it left, where that was an alert: writing to it fails first, by the system and without a reason.
    func partingAlert() -> IOFailure? {
        ERR_clear_error()
        var octet: UInt8 = 0
        var count = 0
        let status = SSL_read_ex(pointer, &octet, 1, &count)
        defer { ERR_clear_error() }
        guard status != 1, SSL_get_error(pointer, status) == SSL_ERROR_SSL else { return nil }
        return fail(.read, .tls(ERR_peek_last_error()))
    }

    /// Bytes that OpenSSL holds back, decrypted or not: epoll knows nothing of them.
    var hasPendingInput: Bool { SSL_has_pending(pointer) == 1 }

    /// Sends close_notify if the connection is in order (RFC 8446 §6.1) and the socket takes it; waits for nothing.
    func shutdown() {
        guard isEstablished, failure == nil else { return }
        ERR_clear_error()
        _ = SSL_shutdown(pointer)
        ERR_clear_error()
    }

    /// The same for who waits: says when the socket did not take it.
    func closeNotify() -> HandshakeResult {
        if let failure { return .failed(failure) }
        guard isEstablished else { return .finished }
        ERR_clear_error()
        errno = 0
        let status = SSL_shutdown(pointer)
        // 0: sent, and the peer's has not come.
        guard status < 0 else { return .finished }
        switch outcome(.write, status, errno) {
        case .wouldBlockWrite: return .wouldBlockWrite
        case .wouldBlockRead, .closed, .bytes: return .finished
        case .failed(let failure): return .failed(failure)
        }
    }

    /// `TLSv1.2`, `TLSv1.3`
    var version: String { String(cString: SSL_get_version(pointer)) }

    /// OpenSSL's name, `TLS_AES_128_GCM_SHA256`. `nil` before the handshake.
    var cipher: String? { SSL_get_current_cipher(pointer).map { String(cString: SSL_CIPHER_get_name($0)) } }

    /// What the client asked for by SNI, as sent.
    var serverName: String? {
        SSL_get_servername(pointer, TLSEXT_NAMETYPE_host_name).map { String(cString: $0) }
    }

    /// Of the listener; `nil` towards a server.
    var serverContext: TLSServerContext? { context as? TLSServerContext }

    /// For policies. Keeps this session alive.
    var facts: TLSFacts { HandshakeFacts(pointer, owner: self) }

    /// Whether a ticket spared the full handshake.
    var isResumed: Bool { SSL_session_reused(pointer) == 1 }
}

extension TLSSession {
    private func isKnownToCallbacks() -> Bool {
        SSL_set_ex_data(pointer, 0, Unmanaged.passUnretained(self).toOpaque()) == 1
    }

    /// Asks for the server's name, and says whom its certificate must be for.
    private func expect(_ peer: TLSPeer) -> Bool {
        if let name = peer.context.requestedName(of: peer.host), mg_tls_ask_for(pointer, name) != 1 { return false }
        if let session = peer.sessionToResume() { SSL_set_session(pointer, session) }
        guard let name = peer.context.expectedName(of: peer.host) else { return true }
        guard let rules = SSL_get0_param(pointer) else { return false }
        expectedName = name.text
        X509_VERIFY_PARAM_set_hostflags(rules, PeerVerification.hostFlags)
        switch name {
        case .dns(let text): return X509_VERIFY_PARAM_set1_host(rules, text, text.utf8.count) == 1
        case .address(let text): return X509_VERIFY_PARAM_set1_ip_asc(rules, text) == 1
        case .uri: return false
        }
    }

    private var hasHTTP2: Bool {
        var name: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        SSL_get0_alpn_selected(pointer, &name, &length)
        guard let name else { return false }
        return Bytes(name, Int(length)).equals("h2")
    }

    /// What a call that moved nothing means. `code` is `errno` right after the call.
    private func outcome(_ operation: IOFailure.Operation, _ status: Int32, _ code: Int32) -> IOResult {
        switch SSL_get_error(pointer, status) {
        case SSL_ERROR_WANT_READ: return .wouldBlockRead
        case SSL_ERROR_WANT_WRITE: return .wouldBlockWrite
        case SSL_ERROR_ZERO_RETURN:
            peerHasClosed = true
            return .closed
        case SSL_ERROR_SYSCALL:
            return .failed(fail(operation, code == 0 ? .closedByPeer : .system(code)))
        default:
            let code = ERR_peek_last_error()
            guard TLSError.isRefusal(code) else { return .failed(fail(operation, .tls(code))) }
            return .failed(fail(operation, .certificate(Int32(SSL_get_verify_result(pointer)))))
        }
    }

    private func fail(_ operation: IOFailure.Operation, _ cause: IOFailure.Cause) -> IOFailure {
        let fault = IOFailure(operation, cause)
        failure = fault
        if operation == .handshake { peer?.forgetSession() }
        return fault
    }
}
