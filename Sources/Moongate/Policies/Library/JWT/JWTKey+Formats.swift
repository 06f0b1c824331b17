import COpenSSL

extension JWTKey {
    // MARK: JWK (RFC 7517)

    /// The key of one JWK of a set that holds keys of one kind.
    ///
    /// - Returns: `nil` for one that is not for checking signatures, or of a type that is not known: key sets may hold
    ///   such (RFC 7517 §5). A secret among public keys is left out where the set was fetched.
    /// - Throws: what is wrong with one that is.
    static func jwk(_ jwk: TapeView, of kind: JWTKeySet.Kind) throws(JWTFault) -> JWTKey? {
        if let use = jwk.member("use"), !use.equals("sig") { return nil }
        if let operations = jwk.member("key_ops")?.elements, !operations.contains(where: { $0.equals("verify") }) {
            return nil
        }
        var only: JWTAlgorithm?
        if let name = jwk.member("alg") {
            guard let algorithm = name.bytes.flatMap(JWTAlgorithm.init) else { return nil }
            only = algorithm
        }
        let name = jwk.member("kid")?.bytes.map { Array($0.buffer) }
        guard let type = jwk.member("kty")?.bytes else { throw JWTFault("a key has no kty") }
        defer { ERR_clear_error() }
        if type.equals("oct") {
            switch kind {
            case .fetched: return nil
            case .published:
                throw JWTFault(
                    "a key of type oct is a secret, and a key set is for public keys: name it under secret_jwks")
            case .secrets:
                return JWTKey(secret: try JWTSecret(try part(jwk, "k")), name: name, onlyAlgorithm: only)
            }
        }
        guard kind != .secrets || !["RSA", "EC", "OKP"].contains(type.string) else {
            throw JWTFault("secret_jwks takes keys of type oct; public keys belong under jwks")
        }
        switch type.string {
        case "RSA":
            let modulus = try part(jwk, "n"), exponent = try part(jwk, "e")
            return try made(mg_rsa_public_key(modulus, modulus.count, exponent, exponent.count), name, only)
        case "EC": return try made(try curveKey(jwk), name, only)
        case "OKP": return try made(try edwardsKey(jwk), name, only)
        default: return nil
        }
    }

    private static func made(
        _ key: OpaquePointer?, _ name: [UInt8]?, _ only: JWTAlgorithm?
    ) throws(JWTFault) -> JWTKey {
        guard let key else { throw JWTFault("a key of the set is damaged") }
        return try JWTKey(key, name: name, onlyAlgorithm: only)
    }

    private static func curveKey(_ jwk: TapeView) throws(JWTFault) -> OpaquePointer? {
        let curves: [(String, Int)] = [("P-256", 32), ("P-384", 48), ("P-521", 66)]
        let wanted = jwk.member("crv")?.bytes?.string
        guard let (curve, size) = curves.first(where: { $0.0 == wanted }) else {
            throw JWTFault("a key is on a curve that is not taken")
        }
        let x = try part(jwk, "x"), y = try part(jwk, "y")
        // RFC 7518 §6.2.1.2: always in full length.
        guard x.count == size, y.count == size else { throw JWTFault("a key of the set is damaged") }
        let point = [4] + x + y
        return mg_ec_public_key(curve, point, point.count)
    }

    /// RFC 8037 §2.
    private static func edwardsKey(_ jwk: TapeView) throws(JWTFault) -> OpaquePointer? {
        let x = try part(jwk, "x")
        switch jwk.member("crv")?.bytes?.string {
        case "Ed25519": return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, x, x.count)
        case "Ed448": return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED448, nil, x, x.count)
        default: throw JWTFault("a key is on a curve that is not taken")
        }
    }

    /// The bytes of a member in Base64 for URLs; at most 2 KiB, far above any key that is taken.
    private static func part(_ jwk: TapeView, _ name: StaticString) throws(JWTFault) -> [UInt8] {
        guard let text = jwk.member(name)?.bytes, (1...2048).contains(text.count), let bytes = Base64.decodedURL(text)
        else { throw JWTFault("a key has no \(name), or a malformed one") }
        return bytes
    }
}

extension Base64 {
    /// The bytes behind Base64 for URLs; `nil` if it is malformed or another text stands for the same bytes, so that
    /// nobody makes a second token of one.
    static func decodedURL(_ text: Bytes) -> [UInt8]? {
        let rest = text.count % 4
        if rest > 1, let last = value(of: text[text.count - 1], .url), last & (rest == 2 ? 15 : 3) != 0 { return nil }
        var isGood = true
        let bytes = [UInt8](unsafeUninitializedCapacity: max(1, text.count)) { buffer, count in
            let decoded = buffer.baseAddress.flatMap { decode(text, to: $0, alphabet: .url) }
            isGood = decoded != nil
            count = decoded ?? 0
        }
        return isGood ? bytes : nil
    }

    /// Base64 for URLs, without padding.
    static func encodedURL(_ bytes: [UInt8]) -> [UInt8] {
        bytes.withUnsafeBufferPointer { source in
            guard let base = source.baseAddress else { return [] }
            return [UInt8](unsafeUninitializedCapacity: encodedCount(source.count)) { buffer, count in
                count = buffer.baseAddress.map { encode(Bytes(base, source.count), to: $0, alphabet: .url) } ?? 0
            }
        }
    }
}
