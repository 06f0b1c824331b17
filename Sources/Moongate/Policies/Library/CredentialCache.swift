/// One worker's view of the credentials that have been checked: look-ups without locks.
///
/// A credential that this worker meets for the first time is looked up in the verifier's table, once; then it is known
/// here until the same end. A changed users file changes the scope and so forgets everything at once.
final class CredentialCache {
    private let verifier: PasswordVerifier
    private let hasher: CredentialHasher
    private var table: CredentialTable

    /// - Parameter capacity: credentials that this worker remembers; each takes 40 bytes.
    /// `nil` if OpenSSL has no HMAC-SHA256.
    init?(_ verifier: PasswordVerifier, capacity: Int = 4096) {
        guard let hasher = CredentialHasher(secret: verifier.secret) else { return nil }
        self.verifier = verifier
        self.hasher = hasher
        table = CredentialTable(capacity: capacity)
    }

    /// Whether this password was found right for this user and hash not long ago. Below 1 µs.
    ///
    /// - Parameters:
    ///   - scope: the users file, by a hash of its contents.
    ///   - now: of `Clock`; the loop's own time will do.
    func isVerified(scope: Bytes, user: Bytes, password: Bytes, hash: Bytes, now: Instant) -> Bool {
        guard let key = hasher.key(scope: scope, user: user, password: password, hash: hash) else { return false }
        if table.expiry(of: key, now: now) != nil { return true }
        guard let expiry = verifier.expiry(of: key, now: now) else { return false }
        table.insert(key, expiry: expiry)
        return true
    }

    /// Checks the password in the background; the answer is remembered for all workers if it is right.
    ///
    /// `completion` runs once, on another thread, or with `nil` where the check was given up for another client's. `false`: too many checks are waiting, and it will not run.
    func verify(
        scope: Bytes, user: Bytes, password: Bytes, hash: PasswordHash, client: ClientShare = .process,
        completion: @escaping PasswordVerifier.Completion
    ) -> Bool {
        let key = hash.text.withBytes { hasher.key(scope: scope, user: user, password: password, hash: $0) }
        guard let key else { return false }
        return verifier.verify(key, password: password, hash: hash, client: client, completion: completion)
    }
}
