import COpenSSL

/// Comparison that takes the same time wherever the first difference is.
enum ConstantTime {
    /// The time tells the lengths, never the contents.
    static func equal(_ left: Bytes, _ right: Bytes) -> Bool {
        left.count == right.count && CRYPTO_memcmp(left.base, right.base, left.count) == 0
    }
}
