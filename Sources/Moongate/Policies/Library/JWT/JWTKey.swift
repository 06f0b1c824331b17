import COpenSSL

/// A key for JWTs, parsed: a shared secret, or one that OpenSSL keeps.
///
/// A key fits only the algorithms of its own type. So a token cannot choose how a key is used: a public key never
/// becomes the secret of an HMAC, whatever the token's header says (RFC 8725 §2.1). Neither can a file: which of the two a
/// text is was said by who named it, and `JWTSecret` is the only type that HMAC keys are made of.
final class JWTKey: @unchecked Sendable {
    // Unchecked because of the key, which OpenSSL lets any number of threads use for checks and signatures.

    enum Kind: Equatable {
        /// With the number of bytes.
        case secret(Int)
        case rsa, rsaPSS
        case p256, p384, p521
        case edwards

        func fits(_ algorithm: JWTAlgorithm) -> Bool {
            switch algorithm {
            case .hs256, .hs384, .hs512:
                if case .secret(let count) = self { return count >= algorithm.shortestSecret }
                return false
            case .rs256, .rs384, .rs512: return self == .rsa
            case .ps256, .ps384, .ps512: return self == .rsa || self == .rsaPSS
            case .es256: return self == .p256
            case .es384: return self == .p384
            case .es512: return self == .p521
            case .edDSA: return self == .edwards
            }
        }

        /// Bytes of each of the two numbers in a signature (RFC 7518 §3.4).
        var curveBytes: Int {
            switch self {
            case .p256: 32
            case .p384: 48
            default: 66
            }
        }
    }

    let kind: Kind
    /// `nil`: it has no name.
    let name: [UInt8]?
    /// The only algorithm that the key set allows for it; `nil`: every one that fits.
    let onlyAlgorithm: JWTAlgorithm?
    private let secret: [UInt8]
    /// An `EVP_PKEY`; `nil` for secrets.
    private let key: OpaquePointer?

    init(secret: JWTSecret, name: [UInt8]? = nil, onlyAlgorithm: JWTAlgorithm? = nil) {
        kind = .secret(secret.bytes.count)
        self.name = name
        self.onlyAlgorithm = onlyAlgorithm
        self.secret = secret.bytes
        key = nil
    }

    /// Takes over the key, an `EVP_PKEY`.
    ///
    /// - Throws: `JWTFault` if it is of a type or size that is not taken.
    init(_ key: OpaquePointer, name: [UInt8]? = nil, onlyAlgorithm: JWTAlgorithm? = nil) throws(JWTFault) {
        self.key = key
        self.name = name
        self.onlyAlgorithm = onlyAlgorithm
        secret = []
        guard let kind = JWTKey.kind(of: key) else {
            // What must be given back is given back here: an object that was not made has no end.
            EVP_PKEY_free(key)
            throw JWTFault(
                "the key is of no type that is taken (RSA from 2048 to 8192 bits, P-256, P-384, P-521, Ed25519, Ed448)")
        }
        self.kind = kind
    }

    deinit { EVP_PKEY_free(key) }

    func fits(_ algorithm: JWTAlgorithm) -> Bool {
        kind.fits(algorithm) && (onlyAlgorithm == nil || onlyAlgorithm == algorithm)
    }

    /// RFC 7518 §3.3 wants 2048 bits; more than 8192 only cost time.
    private static func kind(of key: OpaquePointer) -> Kind? {
        if EVP_PKEY_is_a(key, "ED25519") == 1 || EVP_PKEY_is_a(key, "ED448") == 1 { return .edwards }
        if EVP_PKEY_is_a(key, "RSA") == 1 || EVP_PKEY_is_a(key, "RSA-PSS") == 1 {
            guard (2048...8192).contains(EVP_PKEY_get_bits(key)) else { return nil }
            return EVP_PKEY_is_a(key, "RSA") == 1 ? .rsa : .rsaPSS
        }
        guard EVP_PKEY_is_a(key, "EC") == 1 else { return nil }
        var name = [CChar](repeating: 0, count: 64)
        guard EVP_PKEY_get_group_name(key, &name, name.count, nil) == 1 else { return nil }
        switch String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self) {
        case "prime256v1", "P-256": return .p256
        case "secp384r1", "P-384": return .p384
        case "secp521r1", "P-521": return .p521
        default: return nil
        }
    }

    // MARK: Signatures

    /// Whether this key made the signature by `algorithm`, which must fit it.
    func verify(_ signature: Bytes, of text: Bytes, by algorithm: JWTAlgorithm) -> Bool {
        // What OpenSSL notes about a wrong signature must not be found by whoever looks there next.
        defer { ERR_clear_error() }
        guard fits(algorithm) else { return false }
        guard let key else { return verifyMAC(signature, of: text, by: algorithm) }
        switch kind {
        case .p256, .p384, .p521:
            guard signature.count == 2 * kind.curveBytes else { return false }
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 160) { room in
                guard let base = room.baseAddress, let count = JWTKey.writeDER(signature, to: base) else {
                    return false
                }
                return verify(Bytes(UnsafePointer(base), count), text, algorithm, key)
            }
        default: return verify(signature, text, algorithm, key)
        }
    }

    private func verifyMAC(_ signature: Bytes, of text: Bytes, by algorithm: JWTAlgorithm) -> Bool {
        guard let mac = mac(text, algorithm) else { return false }
        return mac.withUnsafeBufferPointer { mac in
            mac.baseAddress.map { ConstantTime.equal(Bytes($0, mac.count), signature) } ?? false
        }
    }

    private func verify(
        _ signature: Bytes, _ text: Bytes, _ algorithm: JWTAlgorithm, _ key: OpaquePointer
    ) -> Bool {
        guard let context = EVP_MD_CTX_new() else { return false }
        defer { EVP_MD_CTX_free(context) }
        var keyContext: OpaquePointer?
        guard EVP_DigestVerifyInit(context, &keyContext, algorithm.digest?.type ?? nil, nil, key) == 1,
            setPadding(keyContext, algorithm)
        else { return false }
        return EVP_DigestVerify(context, signature.base, signature.count, text.base, text.count) == 1
    }

    /// Signs with a private key or a secret; `nil` if the key is none or does not fit.
    func sign(_ text: Bytes, by algorithm: JWTAlgorithm) -> [UInt8]? {
        defer { ERR_clear_error() }
        guard fits(algorithm) else { return nil }
        guard let key else { return mac(text, algorithm) }
        guard let context = EVP_MD_CTX_new() else { return nil }
        defer { EVP_MD_CTX_free(context) }
        var keyContext: OpaquePointer?
        guard EVP_DigestSignInit(context, &keyContext, algorithm.digest?.type ?? nil, nil, key) == 1,
            setPadding(keyContext, algorithm)
        else { return nil }
        var size = 0
        guard EVP_DigestSign(context, nil, &size, text.base, text.count) == 1, size <= 8192 else { return nil }
        var signature = [UInt8](repeating: 0, count: size)
        guard EVP_DigestSign(context, &signature, &size, text.base, text.count) == 1 else { return nil }
        signature.removeLast(max(0, signature.count - size))
        switch kind {
        case .p256, .p384, .p521: return JWTKey.readDER(signature, kind.curveBytes)
        default: return signature
        }
    }

    private func mac(_ text: Bytes, _ algorithm: JWTAlgorithm) -> [UInt8]? {
        guard let digest = algorithm.digest else { return nil }
        return secret.withUnsafeBufferPointer { secret -> [UInt8]? in
            guard let base = secret.baseAddress else { return nil }
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { room -> [UInt8]? in
                guard let target = room.baseAddress,
                    let count = digest.mac(key: Bytes(base, secret.count), text, to: target)
                else { return nil }
                return Array(room.prefix(count))
            }
        }
    }

    private func setPadding(_ context: OpaquePointer?, _ algorithm: JWTAlgorithm) -> Bool {
        guard kind == .rsa || kind == .rsaPSS else { return true }
        guard algorithm.isPSS else { return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 }
        // RFC 7518 §3.5: the salt is as long as what the hash gives.
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1
    }

    // MARK: ECDSA's two forms

    /// From the two numbers side by side, as JWTs have them, to DER, as OpenSSL has it: at most 144 bytes.
    private static func writeDER(_ signature: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Int? {
        let half = signature.count / 2
        guard let pair = ECDSA_SIG_new() else { return nil }
        defer { ECDSA_SIG_free(pair) }
        guard let r = BN_bin2bn(signature.base, Int32(half), nil) else { return nil }
        guard let s = BN_bin2bn(signature.base + half, Int32(half), nil) else {
            BN_free(r)
            return nil
        }
        guard ECDSA_SIG_set0(pair, r, s) == 1 else {
            BN_free(r)
            BN_free(s)
            return nil
        }
        var end: UnsafeMutablePointer<UInt8>? = target
        let count = i2d_ECDSA_SIG(pair, &end)
        return count > 0 ? Int(count) : nil
    }

    private static func readDER(_ signature: [UInt8], _ half: Int) -> [UInt8]? {
        signature.withUnsafeBufferPointer { buffer -> [UInt8]? in
            var place = buffer.baseAddress
            guard let pair = d2i_ECDSA_SIG(nil, &place, buffer.count) else { return nil }
            defer { ECDSA_SIG_free(pair) }
            var both = [UInt8](repeating: 0, count: 2 * half)
            let isWhole = both.withUnsafeMutableBufferPointer { both in
                guard let base = both.baseAddress else { return false }
                return BN_bn2binpad(ECDSA_SIG_get0_r(pair), base, Int32(half)) == Int32(half)
                    && BN_bn2binpad(ECDSA_SIG_get0_s(pair), base + half, Int32(half)) == Int32(half)
            }
            return isWhole ? both : nil
        }
    }
}

/// Why a key, a key set or an option for JWTs is not taken.
struct JWTFault: Error, CustomStringConvertible {
    let message: CallMessage
    init(_ message: CallMessage) { self.message = message }
    var description: String { message.description }
}
