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

    /// The origin of a set of JWKs, which decides what its keys of type `oct` are.
    enum Kind {
        /// From a place that may be known to others: secrets in it are none, and left out.
        case fetched
        /// Public keys that were given with the options: a secret among them is a mistake.
        case published
        /// Secrets, and nothing else.
        case secrets
    }

    /// One public key in PEM. Tokens with any `kid` are checked by it.
    init(publicPEM text: [UInt8], algorithms wanted: [JWTAlgorithm]?) throws(JWTFault) {
        try self.init(JWTKey.publicPEM(text), algorithms: wanted)
    }

    /// One secret. Tokens with any `kid` are checked by it.
    init(secret: JWTSecret, algorithms wanted: [JWTAlgorithm]?) throws(JWTFault) {
        try self.init(JWTKey(secret: secret), algorithms: wanted)
    }

    private init(_ key: JWTKey, algorithms wanted: [JWTAlgorithm]?) throws(JWTFault) {
        for algorithm in wanted ?? [] where !key.fits(algorithm) { throw key.misfit(algorithm) }
        keys = [key]
        algorithms = wanted ?? JWTAlgorithm.allCases.filter(key.fits)
        isNamed = false
        guard !algorithms.isEmpty else { throw key.misfit(.hs256) }
    }

    /// A JWK set (RFC 7517 §5), or a single JWK.
    init(jwks: TapeView, kind: Kind, algorithms wanted: [JWTAlgorithm]?) throws(JWTFault) {
        try self.init(JWTKeySet.keys(jwks, kind), named: wanted)
        guard keys.contains(where: { key in algorithms.contains(where: key.fits) }) else {
            throw JWTFault("the key set has no key that fits")
        }
    }

    /// Keys of a set that was read before. There may be none that fits: then no token passes.
    init(_ keys: [JWTKey], named wanted: [JWTAlgorithm]?) {
        self.keys = keys
        algorithms = wanted ?? JWTAlgorithm.allCases.filter { algorithm in keys.contains { $0.fits(algorithm) } }
        isNamed = true
    }

    private static func keys(_ jwks: TapeView, _ kind: Kind) throws(JWTFault) -> [JWTKey] {
        let list = jwks.member("keys")?.elements ?? (jwks.member("kty") == nil ? nil : [jwks])
        guard let list else { throw JWTFault("no JSON Web Key Set: there is no list \"keys\"") }
        guard list.count <= JWTKeySet.mostKeys else {
            throw JWTFault("the key set has more than \(JWTKeySet.mostKeys) keys")
        }
        var keys: [JWTKey] = []
        for jwk in list {
            if let key = try JWTKey.jwk(jwk, of: kind) { keys.append(key) }
        }
        return keys
    }

    /// The keys that may have signed a token. None: the key that it names is not known.
    func candidates(name: Bytes?, algorithm: JWTAlgorithm) -> [JWTKey] {
        let fitting = keys.filter { $0.fits(algorithm) }
        guard isNamed, let name else { return Array(fitting.prefix(JWTKeySet.mostTries)) }
        return Array(
            fitting.filter { $0.name.map { name.buffer.elementsEqual($0) } ?? false }.prefix(JWTKeySet.mostTries))
    }
}

extension JWTKey {
    /// Why an algorithm cannot be used with this key.
    func misfit(_ algorithm: JWTAlgorithm) -> JWTFault {
        switch kind {
        case .secret where JWTKey.Kind.secret(.max).fits(algorithm):
            JWTFault(
                "\(algorithm) needs a secret of at least \(algorithm.shortestSecret) bytes (RFC 7518 §3.2)")
        default: JWTFault("\(algorithm) does not fit the key")
        }
    }
}
