import COpenSSL

extension JWTKey {
    /// The public key of a PEM text: that of its `PUBLIC KEY`, or of its first certificate, whose chain may follow.
    ///
    /// - Throws: for a text without such a block, with several keys, or with a private one, which does not belong where tokens
    ///   are only checked.
    static func publicPEM(_ text: [UInt8]) throws(JWTFault) -> JWTKey {
        defer { ERR_clear_error() }
        let blocks = try PEMBlock.all(in: text)
        guard !blocks.isEmpty else { throw missingPEM(text) }
        if blocks.contains(where: { $0.label?.isPrivate == true }) {
            throw JWTFault(
                "key holds a private key, and tokens are checked by the public one: openssl pkey -in FILE -pubout")
        }
        var found: ParsedKey?
        var hasCertificate = false
        for block in blocks {
            guard let label = block.label else { continue }
            if label.isCertificate {
                if hasCertificate { continue }
                hasCertificate = true
            }
            guard let key = ParsedKey(publicPart: block.content, label) else {
                throw JWTFault("the PEM text is damaged: a block is no public key or certificate")
            }
            guard let known = found else {
                found = key
                continue
            }
            guard EVP_PKEY_eq(known.pointer, key.pointer) == 1 else {
                throw JWTFault("the PEM text holds several public keys, of which one is taken; use jwks for more")
            }
        }
        guard let found else { throw JWTFault("the PEM text holds no public key or certificate") }
        return try JWTKey(found.handedOver)
    }

    /// The private key of a PEM text, without a passphrase. Certificates and parameters may stand beside it.
    static func privatePEM(_ text: [UInt8]) throws(JWTFault) -> JWTKey {
        defer { ERR_clear_error() }
        let blocks = try PEMBlock.all(in: text)
        guard !blocks.isEmpty else { throw missingPEM(text) }
        let keys = blocks.filter { $0.label?.isPrivate == true }
        guard let block = keys.first else { throw JWTFault("the PEM text holds no private key") }
        guard keys.count == 1 else { throw JWTFault("the PEM text holds several private keys, of which one is taken") }
        guard !block.isEncrypted else { throw JWTFault("the private key has a passphrase: openssl pkey -in FILE") }
        guard block.label != .openSSHPrivateKey, let key = ParsedKey(privateKey: block.content) else {
            throw JWTFault("the private key is damaged, or of a form that is not taken: openssl pkey -in FILE")
        }
        return try JWTKey(key.handedOver)
    }

    /// The fault of a text where PEM is needed.
    private static func missingPEM(_ text: [UInt8]) -> JWTFault {
        switch KeyForm(of: text) {
        case .utf16: JWTFault("key holds UTF-16 text; PEM files are ASCII or UTF-8")
        case .der: JWTFault("key holds a key or certificate in DER; convert it to PEM: openssl pkey -pubin -in FILE")
        case .jwk: JWTFault("key holds a JSON Web Key, which belongs under jwks")
        case .openSSH: JWTFault("key holds a key of OpenSSH; convert it to PEM: ssh-keygen -e -m PKCS8 -f FILE")
        case .markers: JWTFault("key holds no PEM: its line -----BEGIN is damaged")
        case nil:
            JWTFault("key holds no PEM, which has a line -----BEGIN PUBLIC KEY----- or -----BEGIN CERTIFICATE-----")
        }
    }
}

extension PEMBlock.Label {
    fileprivate var isCertificate: Bool {
        self == .certificate || self == .oldCertificate || self == .trustedCertificate
    }
}

/// An `EVP_PKEY` from DER that nothing follows.
private final class ParsedKey {
    let pointer: OpaquePointer

    init?(publicPart der: [UInt8], _ label: PEMBlock.Label) {
        let key = DER.read(der) { start, count -> OpaquePointer? in
            switch label {
            case .publicKey: return d2i_PUBKEY(nil, &start, count)
            case .rsaPublicKey: return d2i_PublicKey(EVP_PKEY_RSA, nil, &start, count)
            case .certificate, .oldCertificate: return ParsedKey.key(of: d2i_X509(nil, &start, count))
            case .trustedCertificate: return ParsedKey.key(of: d2i_X509_AUX(nil, &start, count))
            default: return nil
            }
        } free: {
            EVP_PKEY_free($0)
        }
        guard let key else { return nil }
        pointer = key
    }

    init?(privateKey der: [UInt8]) {
        let key = DER.read(der) {
            d2i_AutoPrivateKey(nil, &$0, $1)
        } free: {
            EVP_PKEY_free($0)
        }
        guard let key else { return nil }
        pointer = key
    }

    deinit { EVP_PKEY_free(pointer) }

    /// For a holder that frees it.
    var handedOver: OpaquePointer {
        EVP_PKEY_up_ref(pointer)
        return pointer
    }

    private static func key(of certificate: OpaquePointer?) -> OpaquePointer? {
        guard let certificate else { return nil }
        defer { X509_free(certificate) }
        return X509_get_pubkey(certificate)
    }
}

enum DER {
    typealias Read = (_ start: inout UnsafePointer<UInt8>?, _ count: Int) -> OpaquePointer?

    /// The result of `read` for the whole; `nil` if it is not of that kind or more follows.
    static func read(_ der: [UInt8], _ read: Read, free: (OpaquePointer) -> Void) -> OpaquePointer? {
        der.withUnsafeBufferPointer { buffer in
            var place = buffer.baseAddress
            guard !buffer.isEmpty, let made = read(&place, buffer.count) else { return nil }
            guard let place, place == buffer.baseAddress.map({ $0 + buffer.count }) else {
                free(made)
                return nil
            }
            return made
        }
    }
}
