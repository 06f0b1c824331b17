import CMoongate
import COpenSSL
import MoongateLua

/// `handle:importPublicKey` and `handle:verifySignature`.
///
/// What `key:get()` gives, and `verifySignature` takes, is the key itself in its DER form: nothing has to be kept for it.
enum PublicKeyBinding {
    /// Bytes that one call may hash: it runs on the event loop.
    private static let dataLimit = 1 << 20
    /// More than any key that OpenSSL verifies with.
    private static let keyLimit = 16 << 10

    private final class PublicKey {
        let der: [UInt8]?
        init(_ der: [UInt8]?) { self.der = der }
    }

    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.publicKey, name: "public key",
            summary: "A public key, made by `handle:importPublicKey`.",
            bindings: [
                LuaBinding(
                    "get", "", type: "(): string?",
                    doc: "What `handle:verifySignature` takes; nil if the bytes were no public key.", get)
            ], release: release)
    }

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "importPublicKey", "=si", type: "(der: string, length: integer): PublicKey",
                doc: "A public key from its DER form (SubjectPublicKeyInfo), of which the first `length` bytes count.",
                constructs: PolicyClasses.publicKey, importKey),
            LuaBinding(
                "verifySignature", "sssisi",
                type: """
                    (hash: string, key: string, signature: string, signatureLength: integer, data: string, \
                    dataLength: integer): boolean, string?
                    """,
                doc: """
                    Whether the signature (RSA PKCS #1 v1.5 or ECDSA) over the data is good, else false and the \
                    reason. `hash` is `sha1`, `sha224`, `sha256`, `sha384` or `sha512`; `key` is what \
                    `importPublicKey(…):get()` gave.
                    """, verify),
        ]
    }

    private static let importKey: mg_leaf = { call in
        guard let der = prefix(call, of: 0, length: 1) else {
            return call.fail("importPublicKey: the length is not that of a text")
        }
        let key = parse(der)
        EVP_PKEY_free(key)
        call.pointee.created = Unmanaged.passRetained(PublicKey(key == nil ? nil : Array(der.buffer))).toOpaque()
        return MG_RETURN
    }

    private static let get: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native,
            let der = Unmanaged<PublicKey>.fromOpaque(native).takeUnretainedValue().der,
            let copy = mg_call_scratch(call, max(1, der.count))
        else {
            call.giveNil()
            return MG_RETURN
        }
        copy.update(from: der, count: der.count)
        call.give(Bytes(UnsafePointer(copy), der.count))
        return MG_RETURN
    }

    static let release: @convention(c) (UnsafeMutableRawPointer) -> Void = {
        Unmanaged<PublicKey>.fromOpaque($0).release()
    }

    private static let verify: mg_leaf = { call in
        guard let key = parse(call.bytes(1)) else { return call.fail("invalid public key") }
        defer { EVP_PKEY_free(key) }
        guard let signature = prefix(call, of: 2, length: 3), let data = prefix(call, of: 4, length: 5) else {
            return call.fail("verifySignature: a length is not that of its text")
        }
        guard data.count <= dataLimit else { return call.fail("verifySignature: more than 1 MiB of data") }
        guard let hash = hash(call.bytes(0)) else {
            call.give(false)
            call.give(copyOf: "\(call.bytes(0).string) is not supported.")
            return MG_RETURN
        }
        let status = check(signature, of: data, hash, key)
        call.give(status == 1)
        if status == 1 {
            call.giveNil()
        } else {
            // Negative: OpenSSL could not even try; 0: it does not match.
            call.give(copyOf: "Failed to verify digest. Error code: \(status < 0 ? 0 : status)")
        }
        return MG_RETURN
    }

    // MARK: OpenSSL

    private static func check(_ signature: Bytes, of data: Bytes, _ hash: OpaquePointer, _ key: OpaquePointer) -> Int32
    {
        defer { ERR_clear_error() }
        guard let context = EVP_MD_CTX_new() else { return -1 }
        defer { EVP_MD_CTX_free(context) }
        guard EVP_DigestVerifyInit(context, nil, hash, nil, key) == 1 else { return -1 }
        return EVP_DigestVerify(context, signature.base, signature.count, data.base, data.count)
    }

    private static func parse(_ der: Bytes) -> OpaquePointer? {
        guard (1...keyLimit).contains(der.count) else { return nil }
        var start: UnsafePointer<UInt8>? = der.base
        defer { ERR_clear_error() }
        return d2i_PUBKEY(nil, &start, der.count)
    }

    private static func hash(_ name: Bytes) -> OpaquePointer? {
        switch name.string.lowercased() {
        case "sha1": EVP_sha1()
        case "sha224": EVP_sha224()
        case "sha256": EVP_sha256()
        case "sha384": EVP_sha384()
        case "sha512": EVP_sha512()
        default: nil
        }
    }

    /// The first bytes of a text argument, as many as another argument says; `nil` if it has not so many.
    private static func prefix(_ call: BindingCall, of text: Int, length: Int) -> Bytes? {
        let bytes = call.bytes(text)
        guard let count = Int(exactly: call.integer(length)), (0...bytes.count).contains(count) else { return nil }
        return bytes[0..<count]
    }
}
