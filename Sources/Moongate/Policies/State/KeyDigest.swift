/// A key as tables of limits keep it: 128 bits of a keyed hash, so that long keys weigh no more than short ones and nobody
/// outside can choose keys that meet.
struct KeyDigest: Hashable, Sendable {
    let low: UInt64
    let high: UInt64
}

/// Makes the digests of one table, with secrets of its own.
struct KeyDigester: Sendable {
    private let secret: (UInt64, UInt64)

    init() {
        var random = SystemRandomNumberGenerator()
        secret = (random.next(), random.next())
    }

    /// - Parameter seed: keeps the keys of different limits apart.
    @inline(__always) func digest(_ seed: UInt64, _ key: Bytes) -> KeyDigest {
        KeyDigest(low: half(secret.0, seed, key), high: half(secret.1, seed, key))
    }

    /// The seed of a limit that is called so.
    static func seed(_ identity: String) -> UInt64 { UInt64(bitPattern: Int64(identity.hashValue)) }

    @inline(__always) private func half(_ secret: UInt64, _ seed: UInt64, _ key: Bytes) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(secret)
        hasher.combine(seed)
        hasher.combine(bytes: UnsafeRawBufferPointer(start: key.base, count: key.count))
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }
}
