import COpenSSL
import Testing

@testable import Moongate

/// `importPublicKey` and `verifySignature`, with keys and signatures of OpenSSL's own.
@Suite struct PublicKeyBindingTests {
    private struct Signed {
        var key: [UInt8]
        var signature: [UInt8]
    }

    private static func sign(_ data: String, curve: Bool, _ hash: OpaquePointer?) throws -> Signed {
        let key = try #require(curve ? makeCurveKey() : makeRSAKey())
        defer { EVP_PKEY_free(key) }
        var der: UnsafeMutablePointer<UInt8>?
        let count = i2d_PUBKEY(key, &der)
        let bytes = Array(UnsafeBufferPointer(start: try #require(der), count: Int(count)))
        CRYPTO_free(der, nil, 0)
        let context = try #require(EVP_MD_CTX_new())
        defer { EVP_MD_CTX_free(context) }
        try #require(EVP_DigestSignInit(context, nil, hash, nil, key) == 1)
        var length = 512
        var signature = [UInt8](repeating: 0, count: length)
        let text = Array(data.utf8)
        try #require(EVP_DigestSign(context, &signature, &length, text, text.count) == 1)
        return Signed(key: bytes, signature: Array(signature.prefix(length)))
    }

    private static func makeCurveKey() -> OpaquePointer? {
        guard let context = EVP_PKEY_CTX_new_from_name(nil, "EC", nil) else { return nil }
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        EVP_PKEY_keygen_init(context)
        EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1)
        EVP_PKEY_generate(context, &key)
        return key
    }

    private static func makeRSAKey() -> OpaquePointer? {
        guard let context = EVP_PKEY_CTX_new_from_name(nil, "RSA", nil) else { return nil }
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        EVP_PKEY_keygen_init(context)
        EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048)
        EVP_PKEY_generate(context, &key)
        return key
    }

    private static func literal(_ bytes: [UInt8]) -> String {
        "\"" + bytes.map { "\\\(String($0).leftPadded)" }.joined() + "\""
    }

    private func evaluate(_ signed: Signed, _ expression: String) throws -> String? {
        let bench = try PolicyBench(
            """
            local der, signature = \(Self.literal(signed.key)), \(Self.literal(signed.signature))
            function on_request(h)
              local key = h:importPublicKey(der, #der):get()
              local function verify(hash, key, signature, data)
                local good, why = h:verifySignature(hash, key, signature, #signature, data, #data)
                return tostring(good) .. " " .. tostring(why)
              end
              h:headers():add("result", \(expression))
            end
            """)
        let (verdict, call) = try bench.request()
        defer { call.end() }
        return verdict == .proceed ? call.request["result"] : bench.log.all.first
    }

    @Test(arguments: ["sha1", "sha224", "sha256", "sha384", "sha512", "SHA256"], [true, false])
    func C90_goodSignaturesAreFoundGoodAndOthersNot(hash: String, curve: Bool) throws {
        let digest: OpaquePointer? =
            switch hash.lowercased() {
            case "sha1": EVP_sha1()
            case "sha224": EVP_sha224()
            case "sha384": EVP_sha384()
            case "sha512": EVP_sha512()
            default: EVP_sha256()
            }
        let signed = try Self.sign("hello", curve: curve, digest)
        #expect(try evaluate(signed, "verify('\(hash)', key, signature, 'hello')") == "true nil")
        let refused = "false Failed to verify digest. Error code: 0"
        #expect(try evaluate(signed, "verify('\(hash)', key, signature, 'hellO')") == refused)
        #expect(try evaluate(signed, "verify('\(hash)', key, '0000', 'hello')") == refused)
        // Only as many bytes count as the caller says.
        #expect(
            try evaluate(
                signed, "tostring(h:verifySignature('\(hash)', key, signature, #signature, 'hello there', 5))")
                == "true")
    }

    @Test(arguments: [
        ("verify('unknown', key, signature, 'hello')", "false unknown is not supported."),
        ("tostring(h:importPublicKey('bad key', 7):get())", "nil"), ("tostring(h:importPublicKey('', 0):get())", "nil"),
        ("verify('sha256', 'bad', signature, 'hello')", "invalid public key"),
        (
            "verify('sha256', nil, signature, 'hello')",
            "bad argument #2 to 'verifySignature' (string expected, got nil)"
        ),
        ("h:importPublicKey(der)", "bad argument #2 to 'importPublicKey' (number expected, got no value)"),
        ("h:importPublicKey(der, -1)", "the length is not that of a text"),
        ("h:importPublicKey(der, #der + 1)", "the length is not that of a text"),
        ("h:verifySignature('sha256', key, signature, 1000, 'x', 1)", "a length is not that of its text"),
        ("h:verifySignature('sha256', key, signature, 1, 'x', math.mininteger)", "a length is not that of its text"),
        ("verify('sha256', key, signature, ('x'):rep(1000000) .. ('x'):rep(1000000))", "more than 1 MiB of data"),
    ])
    func faults(expression: String, expected: String) throws {
        let signed = try Self.sign("hello", curve: true, EVP_sha256())
        #expect(try evaluate(signed, expression)?.contains(expected) == true)
    }
}

extension String {
    fileprivate var leftPadded: String { String(repeating: "0", count: max(0, 3 - count)) + self }
}
