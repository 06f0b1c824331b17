/// A secret that signer and verifier share: what an HMAC takes, and nothing else gives.
///
/// A `JWTKey` for HMACs is made of this type only, and this type only of what was given as a secret. So no text becomes one because
/// of what it looks like; one that looks like a key is refused, because others know the public part of it.
struct JWTSecret {
    let bytes: [UInt8]

    /// - Parameter bytes: what was given as a secret.
    init(_ bytes: [UInt8]) throws(JWTFault) {
        guard !bytes.isEmpty else { throw JWTFault("secret must be a text that is not empty") }
        if let form = KeyForm(of: bytes) { throw JWTSecret.fault(form) }
        self.bytes = bytes
    }

    private static func fault(_ form: KeyForm) -> JWTFault {
        switch form {
        case .markers:
            JWTFault("secret holds PEM (-----BEGIN), and a key is no secret: name the file under key")
        case .utf16: JWTFault("secret holds UTF-16 text; a secret is bytes, ASCII or UTF-8")
        case .der:
            JWTFault("secret holds a key or certificate in DER, and a key is no secret: convert it to PEM, for key")
        case .jwk: JWTFault("secret holds a JSON Web Key: one of type oct belongs under secret_jwks, others under jwks")
        case .openSSH: JWTFault("secret holds a key of OpenSSH, and a key is no secret: convert it to PEM, for key")
        }
    }
}
