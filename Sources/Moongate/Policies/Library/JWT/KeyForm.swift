import COpenSSL

/// The forms that public and private keys have when they are not plain PEM.
///
/// Nothing is chosen by it: how a text is used is up to the option that it was given for. A text in one of these forms is only
/// refused, with a hint that fits: as `key`, which is PEM, and as a secret, which no key is.
enum KeyForm {
    /// The markers that begin and end PEM, perhaps damaged.
    case markers
    case utf16
    /// Also in Base64, as some identity providers print it.
    case der
    case jwk
    case openSSH

    /// `nil`: none of them.
    init?(of bytes: [UInt8]) {
        if KeyForm.isWide(bytes) {
            self = .utf16
            return
        }
        let plain = bytes.filter { $0 != 0 }
        if KeyForm.hasMarkers(plain) {
            self = .markers
        } else if KeyForm.isDER(bytes) {
            self = .der
        } else if KeyForm.isJWK(bytes) {
            self = .jwk
        } else if KeyForm.openSSHNames.contains(where: { plain.drop(while: KeyForm.isBlank).starts(with: $0) }) {
            self = .openSSH
        } else if let form = KeyForm.inside(plain) {
            self = form
        } else {
            return nil
        }
    }

    private static let openSSHNames = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].map { Array($0.utf8) }
    private static let ends = ["----begin", "---- begin", "----end", "---- end"].map { Array($0.utf8) }

    /// ASCII in UTF-16 or UTF-32: a byte order mark and many zeroes, or zeroes between the letters of a marker.
    private static func isWide(_ bytes: [UInt8]) -> Bool {
        let zeroes = bytes.count { $0 == 0 }
        guard zeroes > 0 else { return false }
        let isMarked = bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff])
        return (isMarked && zeroes * 3 >= bytes.count) || (hasMarkers(bytes.filter { $0 != 0 }) && !hasMarkers(bytes))
    }

    /// In any case, and with four dashes as with five.
    private static func hasMarkers(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while let dash = rest.firstIndex(of: UInt8(ascii: "-")) {
            let tail = rest[dash...].prefix(10).map(\.asciiLowercased)
            if ends.contains(where: { tail.starts(with: $0) }) { return true }
            rest = rest[(dash + 1)...]
        }
        return false
    }

    private static func isDER(_ bytes: [UInt8]) -> Bool {
        guard bytes.first == 0x30 else { return false }
        defer { ERR_clear_error() }
        let key =
            DER.read(bytes, { d2i_PUBKEY(nil, &$0, $1) }, free: { EVP_PKEY_free($0) })
            ?? DER.read(bytes, { d2i_PublicKey(EVP_PKEY_RSA, nil, &$0, $1) }, free: { EVP_PKEY_free($0) })
            ?? DER.read(bytes, { d2i_AutoPrivateKey(nil, &$0, $1) }, free: { EVP_PKEY_free($0) })
        if let key {
            EVP_PKEY_free(key)
            return true
        }
        if let certificate = DER.read(bytes, { d2i_X509(nil, &$0, $1) }, free: { X509_free($0) }) {
            X509_free(certificate)
            return true
        }
        // An encrypted private key.
        guard let sealed = DER.read(bytes, { d2i_X509_SIG(nil, &$0, $1) }, free: { X509_SIG_free($0) }) else {
            return false
        }
        X509_SIG_free(sealed)
        return true
    }

    private static func isJWK(_ bytes: [UInt8]) -> Bool {
        let text = bytes.starts(with: [0xef, 0xbb, 0xbf]) ? bytes.dropFirst(3) : bytes[...]
        guard text.first(where: { !isBlank($0) }) == UInt8(ascii: "{") else { return false }
        return text.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress,
                let document = try? JSONDocument(
                    Bytes(base, buffer.count), limits: .init(bytes: 1 << 18, values: 1 << 14)),
                let root = document.root
            else { return false }
            return root.member("kty") != nil || root.member("keys") != nil
        }
    }

    /// A key in one of these forms, once more in Base64.
    private static func inside(_ bytes: [UInt8]) -> KeyForm? {
        let packed = bytes.filter { !isBlank($0) }
        // No key is shorter.
        guard packed.count >= 40 else { return nil }
        return packed.withUnsafeBufferPointer { buffer in
            guard let decoded = buffer.baseAddress.flatMap({ Base64.decodedPadded(Bytes($0, buffer.count)) }) else {
                return nil
            }
            if hasMarkers(decoded) { return .markers }
            return isDER(decoded) ? .der : nil
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte &- 9 < 5 }
}
