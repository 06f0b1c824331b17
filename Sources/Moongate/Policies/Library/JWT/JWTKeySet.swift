/// The keys that tokens are checked by, and the algorithms that are allowed for them. Immutable.
struct JWTKeySet {
    /// Keys in a set; what issuers publish has fewer than ten.
    static let mostKeys = 128
    /// Keys that are tried for a token which names none.
    static let mostTries = 4

    let keys: [JWTKey]
    /// Set by the user, or everything that fits the keys.
    let algorithms: [JWTAlgorithm]
    /// Whether tokens choose by `kid`.
    let isNamed: Bool

    /// One key, PEM or secret. Tokens with any `kid` are checked by it.
    init(key text: Bytes, algorithms wanted: [JWTAlgorithm]?) throws(JWTFault) {
        let key = JWTKey.isPEM(text) ? try JWTKey.publicPEM(text) : JWTKey(secret: text)
        for algorithm in wanted ?? [] where !key.fits(algorithm) {
            if case .secret = key.kind, JWTKey.Kind.secret(.max).fits(algorithm) {
                throw JWTFault(
                    "\(algorithm) needs a secret of at least \(algorithm.shortestSecret) bytes (RFC 7518 §3.2)"
                )
            }
            throw JWTFault("\(algorithm) does not fit the key")
        }
        keys = [key]
        algorithms = wanted ?? JWTAlgorithm.allCases.filter(key.fits)
        isNamed = false
        guard !algorithms.isEmpty else {
            throw JWTFault("the secret is shorter than 32 bytes, which HS256 needs (RFC 7518 §3.2)")
        }
    }

    /// A JWK set (RFC 7517 §5), or a single JWK.
    init(jwks: TapeView, algorithms wanted: [JWTAlgorithm]?) throws(JWTFault) {
        let list = jwks.member("keys")?.elements ?? (jwks.member("kty") == nil ? nil : [jwks])
        guard let list else { throw JWTFault("no JSON Web Key Set: there is no list \"keys\"") }
        guard list.count <= JWTKeySet.mostKeys else {
            throw JWTFault("the key set has more than \(JWTKeySet.mostKeys) keys")
        }
        var keys: [JWTKey] = []
        for jwk in list {
            if let key = try JWTKey.jwk(jwk) { keys.append(key) }
        }
        let algorithms = wanted ?? JWTAlgorithm.allCases.filter { algorithm in keys.contains { $0.fits(algorithm) } }
        guard keys.contains(where: { key in algorithms.contains(where: key.fits) }) else {
            throw JWTFault("the key set has no key that fits")
        }
        self.keys = keys
        self.algorithms = algorithms
        isNamed = true
    }

    /// The keys that may have signed a token. None: the key that it names is not known.
    func candidates(name: Bytes?, algorithm: JWTAlgorithm) -> [JWTKey] {
        let fitting = keys.filter { $0.fits(algorithm) }
        guard isNamed, let name else { return Array(fitting.prefix(JWTKeySet.mostTries)) }
        return Array(
            fitting.filter { $0.name.map { name.buffer.elementsEqual($0) } ?? false }.prefix(JWTKeySet.mostTries))
    }
}
