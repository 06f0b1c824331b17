import COpenSSL
import Glibc

/// A server as one worker speaks TLS with it: the context, whom to expect, and the last session for the next handshake.
final class TLSPeer {
    let context: TLSClientContext
    /// The endpoint's host, a name or an address.
    let host: String
    /// `SSL_SESSION`
    private var session: OpaquePointer?

    init(_ context: TLSClientContext, host: String) {
        self.context = context
        self.host = host
    }

    deinit { forgetSession() }

    /// The session to resume; `nil`: none, or none that may still be. Keeps it, the caller takes a share of its own.
    func sessionToResume() -> OpaquePointer? {
        guard let session else { return nil }
        // A resumed handshake shows no certificate: one that has expired meanwhile must be shown again.
        let isOver = SSL_SESSION_get0_peer(session).map { X509_cmp_current_time(X509_get0_notAfter($0)) <= 0 } ?? false
        guard !isOver, SSL_SESSION_is_resumable(session) == 1 else {
            forgetSession()
            return nil
        }
        return session
    }

    /// Takes over the caller's share of `SSL_SESSION`.
    func keep(_ new: OpaquePointer) {
        forgetSession()
        session = new
    }

    /// A handshake that would have resumed it has failed: the next one begins afresh.
    func forgetSession() {
        if let session { SSL_SESSION_free(session) }
        session = nil
    }
}
