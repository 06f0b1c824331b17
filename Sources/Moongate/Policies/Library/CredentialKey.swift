import COpenSSL

/// What a credential is remembered by: an HMAC-SHA256 under a key that only this process knows, so that neither the
/// password nor a hash that could be searched through stays in memory.
struct CredentialKey: Sendable, Hashable {
    fileprivate(set) var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    static func == (left: CredentialKey, right: CredentialKey) -> Bool { left.words == right.words }

    /// Keyed and random already: any part of it is as good a hash as the whole.
    func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}

/// Computes the keys of credentials; about 0.3 µs each. Belongs to one thread.
final class CredentialHasher {
    /// `EVP_MAC_CTX`, keyed.
    private let context: OpaquePointer

    /// `nil` if OpenSSL has no HMAC-SHA256 or memory is short.
    init?(secret: [UInt8]) {
        let mac = EVP_MAC_fetch(nil, "HMAC", nil)
        defer { EVP_MAC_free(mac) }
        guard let mac, let context = EVP_MAC_CTX_new(mac) else { return nil }
        self.context = context
        guard mg_hmac_sha256_key(context, secret, secret.count) == 1 else { return nil }
    }

    deinit { EVP_MAC_CTX_free(context) }

    /// The key for a user's password. Another scope, such as another users file or another version of it, and another
    /// hash give another key. `nil` if OpenSSL fails.
    func key(scope: Bytes, user: Bytes, password: Bytes, hash: Bytes) -> CredentialKey? {
        // The lengths come first: no two credentials make the same message.
        let lengths = (scope.count, user.count, password.count, hash.count)
        guard EVP_MAC_init(context, nil, 0, nil) == 1,
            withUnsafeBytes(of: lengths, { update($0) }),
            update(scope), update(user), update(password), update(hash)
        else { return nil }
        var key = CredentialKey()
        var length = 0
        let status = withUnsafeMutableBytes(of: &key.words) { words in
            EVP_MAC_final(context, words.baseAddress?.assumingMemoryBound(to: UInt8.self), &length, words.count)
        }
        return status == 1 && length == MemoryLayout.size(ofValue: key.words) ? key : nil
    }

    private func update(_ bytes: Bytes) -> Bool { EVP_MAC_update(context, bytes.base, bytes.count) == 1 }

    private func update(_ bytes: UnsafeRawBufferPointer) -> Bool {
        EVP_MAC_update(context, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count) == 1
    }
}
