import CMoongate

/// Checks JSON Web Tokens (RFC 7519) in the compact form of a JWS (RFC 7515), by the rules of RFC 8725.
///
/// - The algorithm is one of an allow list, and the key must be of the algorithm's own type: neither `none` nor a public
///   key taken for a secret can happen.
/// - Everything is bounded before it is looked at: the token to 16 KiB, its header to 64 values, its depth to 32.
/// - The signature comes before the claims: nothing of a token that nobody signed is read further than its header.
///
/// Belongs to one thread.
final class JWTVerifier {
    /// What claims must say.
    struct Rules {
        /// `nil`: whatever fits the keys.
        var algorithms: [JWTAlgorithm]?
        /// Empty: any issuer, audience, subject.
        var issuers: [[UInt8]] = []
        var audiences: [[UInt8]] = []
        var subjects: [[UInt8]] = []
        var required: [[UInt8]] = []
        /// Seconds that clocks may differ by.
        var leeway = 0.0
    }

    enum Answer {
        case claims(JSONDocument)
        case refused(String)
    }

    static let longestToken = 16 << 10

    let rules: Rules
    /// `nil`: not known yet; every token is refused.
    private(set) var keys: JWTKeySet?
    private var cache: JWTCache
    /// Where keys come from that are fetched; `nil`: they were given.
    let feed: JWTKeyFeed?

    init(_ rules: Rules, keys: JWTKeySet?, cacheCapacity: Int, feed: JWTKeyFeed? = nil) {
        self.rules = rules
        self.feed = feed
        self.keys = keys
        cache = JWTCache(capacity: cacheCapacity)
    }

    /// Bytes that it takes with an empty cache and keys of usual size.
    var size: Int { (feed == nil ? 4096 : 32768) + cache.size }

    /// Other keys from now on. What older ones have signed is checked again.
    func use(_ keys: JWTKeySet) {
        self.keys = keys
        cache.removeAll()
    }

    /// Takes up the keys that were fetched since, by whichever worker, and gives up those that may no longer be used.
    /// - Parameter directory: the upstreams in force.
    @inline(__always) func follow(_ directory: UpstreamDirectory?, instant: Instant) {
        guard let feed, case .keys(let found) = feed.look(directory, now: instant) else { return }
        keys = found.map { JWTKeySet($0, named: rules.algorithms) }
        cache.removeAll()
    }

    /// - Parameters:
    ///   - now: seconds since 1970.
    ///   - instant: of the monotonic clock.
    func verify(_ token: Bytes, now: Double, instant: Instant) -> Answer {
        guard let keys else { return .refused("no keys yet") }
        guard token.count <= JWTVerifier.longestToken else { return .refused("malformed: longer than 16 KiB") }
        let digest = JWTCache.Key(token)
        if let digest, let known = cache.claims(of: digest, now: now, instant: instant) { return .claims(known) }
        guard let parts = Parts(token) else { return .refused("malformed") }
        if let reason = checkSignature(parts, keys) { return .refused(reason) }
        guard let document = JWTVerifier.document(parts.payload, limits: .init(bytes: JWTVerifier.longestToken)),
            let claims = document.root, claims.kind == MG_TABLE
        else { return .refused("malformed: the claims are no JSON object") }
        if let reason = check(claims, now: now) { return .refused(reason) }
        if let digest {
            // Until the token ends: the same moment at which a fresh check would begin to refuse it.
            let end = claims.member("exp")?.number.map { $0 + rules.leeway } ?? .infinity
            cache.insert(document, size: token.count, for: digest, end: end, instant: instant)
        }
        return .claims(document)
    }

    // MARK: Signature

    private struct Parts {
        let header: Bytes
        let payload: Bytes
        let signature: Bytes
        /// What is signed: header and payload as they stand in the token.
        let signed: Bytes

        init?(_ token: Bytes) {
            guard let first = token.firstIndex(of: UInt8(ascii: ".")),
                let last = token.lastIndex(of: UInt8(ascii: ".")),
                first > 0, last > first, token.firstIndex(of: UInt8(ascii: "=")) == nil
            else { return nil }
            header = token[0..<first]
            payload = token[first + 1..<last]
            signature = token[last + 1..<token.count]
            signed = token[0..<last]
            guard payload.firstIndex(of: UInt8(ascii: ".")) == nil else { return nil }
        }
    }

    /// `nil`: one of the keys has signed it.
    private func checkSignature(_ parts: Parts, _ keys: JWTKeySet) -> String? {
        let limits = JSONReader.Limits(bytes: 4096, depth: 4, values: 64)
        guard let document = JWTVerifier.document(parts.header, limits: limits), let header = document.root,
            header.kind == MG_TABLE, let name = header.member("alg")?.bytes
        else { return "malformed: the header is no JSON object with alg" }
        // RFC 7515 §4.1.11: what must be understood and is not makes the token invalid.
        guard header.member("crit") == nil else { return "malformed: critical extensions are not understood" }
        guard let algorithm = JWTAlgorithm(name), keys.algorithms.contains(algorithm) else {
            return "algorithm not allowed"
        }
        let candidates = keys.candidates(name: header.member("kid")?.bytes, algorithm: algorithm)
        guard !candidates.isEmpty else { return "unknown key" }
        guard let signature = Base64.decodedURL(parts.signature) else { return "malformed: the signature" }
        let isSigned = signature.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return false }
            let signature = Bytes(base, buffer.count)
            return candidates.contains { $0.verify(signature, of: parts.signed, by: algorithm) }
        }
        return isSigned ? nil : "wrong signature"
    }

    private static func document(_ part: Bytes, limits: JSONReader.Limits) -> JSONDocument? {
        guard let text = Base64.decodedURL(part) else { return nil }
        return text.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return nil }
            return try? JSONDocument(Bytes(base, buffer.count), limits: limits)
        }
    }

    // MARK: Claims (RFC 7519 §4.1)

    private func check(_ claims: TapeView, now: Double) -> String? {
        for name: StaticString in ["exp", "nbf", "iat"] {
            if let claim = claims.member(name), claim.number == nil { return "malformed: \(name) is no number" }
        }
        if let end = claims.member("exp")?.number, now >= end + rules.leeway { return "expired" }
        if let start = claims.member("nbf")?.number, now + rules.leeway < start { return "not yet valid" }
        if let issued = claims.member("iat")?.number, now + rules.leeway < issued { return "issued in the future" }
        if !JWTVerifier.isAmong(rules.issuers, claims.member("iss")) { return "wrong issuer" }
        if !JWTVerifier.isAmong(rules.subjects, claims.member("sub")) { return "wrong subject" }
        if !hasAudience(claims.member("aud")) { return "wrong audience" }
        for name in rules.required {
            let claim = name.withUnsafeBufferPointer { buffer in
                buffer.baseAddress.flatMap { claims.member(Bytes($0, buffer.count)) }
            }
            if claim?.isNull ?? true { return "missing claim \(String(decoding: name, as: UTF8.self))" }
        }
        return nil
    }

    private static func isAmong(_ allowed: [[UInt8]], _ claim: TapeView?) -> Bool {
        guard !allowed.isEmpty else { return true }
        guard let value = claim?.bytes else { return false }
        return allowed.contains { value.buffer.elementsEqual($0) }
    }

    /// One text or a list of them, of which one has to be ours.
    private func hasAudience(_ claim: TapeView?) -> Bool {
        guard !rules.audiences.isEmpty else { return true }
        guard let claim else { return false }
        return (claim.elements ?? [claim]).contains { JWTVerifier.isAmong(rules.audiences, $0) }
    }
}
