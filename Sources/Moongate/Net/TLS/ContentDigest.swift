import COpenSSL

/// SHA-256 over several texts, each with its length before it.
struct ContentDigest {
    private var bytes: [UInt8] = []

    mutating func add(_ part: some Collection<UInt8>) {
        withUnsafeBytes(of: UInt64(part.count)) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: part)
    }

    mutating func add(_ text: String) { add(Array(text.utf8)) }

    /// 32 bytes; `nil` if OpenSSL has no SHA-256.
    var value: [UInt8]? {
        var digest = [UInt8](repeating: 0, count: 32)
        return EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) == 1 ? digest : nil
    }
}
