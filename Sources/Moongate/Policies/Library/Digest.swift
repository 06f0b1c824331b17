import COpenSSL

/// The hash functions that policies can ask for.
enum Digest: String, CaseIterable {
    case md5, sha1, sha256, sha384, sha512

    /// OpenSSL keeps it.
    var type: OpaquePointer? {
        switch self {
        case .md5: EVP_md5()
        case .sha1: EVP_sha1()
        case .sha256: EVP_sha256()
        case .sha384: EVP_sha384()
        case .sha512: EVP_sha512()
        }
    }

    /// Octets that are hashed between two looks at the time limit.
    private static let piece = 1 << 18

    /// Writes at most 64 bytes and gives their number; `nil` if OpenSSL refuses, as it does MD5 under FIPS rules, or the time
    /// is up.
    func hash(_ data: Bytes, to target: UnsafeMutablePointer<UInt8>, within run: RunLimit = RunLimit()) -> Int? {
        var size: UInt32 = 0
        guard data.count > Digest.piece else {
            guard let type, EVP_Digest(data.base, data.count, target, &size, type, nil) == 1 else { return nil }
            return Int(size)
        }
        guard let type, let context = EVP_MD_CTX_new() else { return nil }
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestInit_ex(context, type, nil) == 1 else { return nil }
        for start in stride(from: 0, to: data.count, by: Digest.piece) {
            let count = min(Digest.piece, data.count - start)
            guard !run.isExceeded, EVP_DigestUpdate(context, data.base + start, count) == 1 else { return nil }
        }
        return EVP_DigestFinal_ex(context, target, &size) == 1 ? Int(size) : nil
    }

    /// HMAC (RFC 2104). Writes at most 64 bytes and gives their number.
    func mac(key: Bytes, _ data: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Int? {
        var size: UInt32 = 0
        guard let type, let length = Int32(exactly: key.count),
            HMAC(type, key.base, length, data.base, data.count, target, &size) != nil
        else { return nil }
        return Int(size)
    }
}
