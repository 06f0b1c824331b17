import COpenSSL

/// Tokens that were found good, so that a token which comes with every request costs one hash and no signature check.
///
/// Why this is safe: only tokens whose signature and claims were checked get in, by the whole SHA-256 of the token, so
/// another token never finds them. An entry ends with its token (`exp` and the leeway), and after five minutes at the
/// latest by a clock that nobody can set back; other keys empty the cache. What a check would refuse later for another
/// reason than time does not exist: rules and keys of a verifier stay as they are.
///
/// Bounded: eight places for each group of digests, and only documents of ordinary size are kept.
struct JWTCache {
    struct Key: Equatable {
        private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

        static func == (left: Key, right: Key) -> Bool { left.words == right.words }

        init?(_ token: Bytes) {
            let size = withUnsafeMutableBytes(of: &words) { words in
                words.baseAddress.flatMap { Digest.sha256.hash(token, to: $0.assumingMemoryBound(to: UInt8.self)) }
            }
            guard size == 32 else { return nil }
        }

        fileprivate var place: UInt64 { words.0 }
    }

    private struct Entry {
        var key: Key
        var document: JSONDocument
        /// Seconds since 1970.
        var end: Double
        var deadline: Instant
    }

    private static let ways = 8
    private static let longestToken = 4096
    private static let longestStay: UInt64 = 300_000_000_000

    /// Bytes of the places for tokens, taken or not.
    var size: Int { entries.count * MemoryLayout<Entry?>.stride }

    private var entries: [Entry?]
    /// Number of groups minus one; the number is a power of two. -1: nothing is kept.
    private let mask: Int

    /// - Parameter capacity: rounded up to a power of two; 0 keeps nothing.
    init(capacity: Int) {
        var groups = 1
        while groups * JWTCache.ways < min(capacity, 1 << 16) { groups *= 2 }
        mask = capacity > 0 ? groups - 1 : -1
        entries = Array(repeating: nil, count: capacity > 0 ? groups * JWTCache.ways : 0)
    }

    func claims(of key: Key, now: Double, instant: Instant) -> JSONDocument? {
        for place in places(of: key) {
            if let entry = entries[place], entry.key == key {
                return now < entry.end && instant < entry.deadline ? entry.document : nil
            }
        }
        return nil
    }

    /// - Parameter size: of the token.
    mutating func insert(_ document: JSONDocument, size: Int, for key: Key, end: Double, instant: Instant) {
        guard size <= JWTCache.longestToken else { return }
        var victim: Int?
        for place in places(of: key) {
            guard let entry = entries[place], entry.key != key else {
                victim = place
                break
            }
            if let other = victim, let kept = entries[other], kept.deadline <= entry.deadline { continue }
            victim = place
        }
        guard let victim else { return }
        entries[victim] = Entry(key: key, document: document, end: end, deadline: instant &+ JWTCache.longestStay)
    }

    mutating func removeAll() { entries = Array(repeating: nil, count: entries.count) }

    private func places(of key: Key) -> Range<Int> {
        guard mask >= 0 else { return 0..<0 }
        let first = (Int(truncatingIfNeeded: key.place) & mask) * JWTCache.ways
        return first..<first + JWTCache.ways
    }
}
