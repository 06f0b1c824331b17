import COpenSSL
import Glibc
import Testing

@testable import Moongate

@Suite struct JWTTests {
    /// Fresh keys: private and public, as PEM.
    private static func pair(_ kind: String) -> (secret: String, shared: String) {
        let key = made(kind)
        defer { EVP_PKEY_free(key) }
        return (pem { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) }, pem { PEM_write_bio_PUBKEY($0, key) })
    }

    private static func made(_ kind: String) -> OpaquePointer? {
        let type = kind.hasPrefix("RSA") ? "RSA" : kind.hasPrefix("P-") ? "EC" : kind
        let context = EVP_PKEY_CTX_new_from_name(nil, type, nil)
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard EVP_PKEY_keygen_init(context) == 1,
            type != "RSA" || EVP_PKEY_CTX_set_rsa_keygen_bits(context, kind == "RSA" ? 2048 : 1024) == 1,
            type != "EC" || EVP_PKEY_CTX_set_group_name(context, kind) == 1,
            EVP_PKEY_keygen(context, &key) == 1
        else { return nil }
        return key
    }

    private static func pem(_ write: (OpaquePointer?) -> Int32) -> String {
        let memory = BIO_new(BIO_s_mem())
        defer { BIO_free(memory) }
        guard write(memory) == 1 else { return "" }
        var buffer = [UInt8](repeating: 0, count: 8192)
        let count = BIO_read(memory, &buffer, Int32(buffer.count))
        return String(decoding: buffer.prefix(Int(max(0, count))), as: UTF8.self)
    }

    private static let rsa = pair("RSA")

    @Test(arguments: [
        ("RSA", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]), ("P-256", ["ES256"]), ("P-384", ["ES384"]),
        ("P-521", ["ES512"]), ("ED25519", ["EdDSA"]),
    ])
    func whatIsSignedIsVerified(kind: String, algorithms: [String]) throws {
        let keys = kind == "RSA" ? JWTTests.rsa : JWTTests.pair(kind)
        for algorithm in algorithms {
            try MoonScript.run(
                """
                local secret, public = [[\(keys.secret)]], [[\(keys.shared)]]
                local token = moon.jwt.sign({ sub = "ada", n = 5, list = { 1, 2 } }, { alg = "\(algorithm)", key = secret })
                local claims = assert(moon.jwt.verify(token, { key = public }))
                assert(claims.sub == "ada" and claims.n == 5 and claims.list[2] == 2)
                assert(moon.jwt.verify(token, { key = public, algorithms = { "\(algorithm)" } }))
                local refused, reason = moon.jwt.verify(token:sub(1, -5) .. "AAAA", { key = public })
                assert(refused == nil and reason == "wrong signature", reason)
                assert(not pcall(moon.jwt.sign, {}, { alg = "\(algorithm)", secret = ("s"):rep(64) }))
                assert(not pcall(moon.jwt.sign, {}, { alg = "\(algorithm)", key = public }))
                """)
        }
    }

    /// RFC 8725 §2.1: the public key is no secret, and `none` is no algorithm.
    @Test func algorithmsCannotBeConfused() throws {
        try MoonScript.run(
            #"""
            local public = [[\#(JWTTests.rsa.shared)]]
            local b64 = moon.base64url.encode
            local function forged(header, key)
              local signed = b64(header) .. "." .. b64 '{"sub":"root"}'
              return signed .. "." .. (key and b64(moon.crypto.hmac("sha256", key, signed)) or "")
            end
            local verifier = moon.jwt.verifier { key = public }
            for _, token in ipairs {
              forged('{"alg":"HS256"}', public), forged('{"alg":"HS256"}', public:gsub("\n$", "")), forged '{"alg":"none"}',
              forged '{"alg":"None"}', forged('{"alg":"none"}', public), forged '{"alg":""}', forged '{"alg":["RS256"]}',
              forged '{}', forged '{"alg":"RS256"}', forged '{"alg":"RS256","alg":"none"}', forged '{"alg":"RS256","crit":["exp"]}',
            } do
              local claims, reason = verifier:verify(token)
              assert(claims == nil and type(reason) == "string", token)
            end
            assert(select(2, pcall(moon.jwt.verifier, { key = public, algorithms = { "HS256" } })):find "HS256 does not fit the key")
            assert(select(2, pcall(moon.jwt.verifier, { secret = ("s"):rep(64), algorithms = { "RS256" } })):find "does not fit")
            for _, text in ipairs { public, "\n" .. public, "# comment\n" .. public, "\xef\xbb\xbf" .. public, ("s"):rep(64) } do
              assert(not pcall(moon.jwt.sign, {}, { alg = "HS256", key = text }))
              assert(not pcall(moon.jwt.verifier, { secret = text }) or text == ("s"):rep(64))
            end
            """#)
    }

    @Test func keysAreChosenByTheirName() throws {
        func jwk(_ name: String?, _ letter: Character, _ more: String = "") -> String {
            let secret = String(repeating: letter, count: 32).withBytes { bytes in
                String(decoding: Base64.encodedURL(Array(bytes.buffer)), as: UTF8.self)
            }
            return #"{"kty":"oct","k":"\#(secret)"\#(name.map { #","kid":"\#($0)""# } ?? "")\#(more)}"#
        }
        let set =
            #"{"keys":[\#(jwk("a", "a")),\#(jwk("b", "b")),\#(jwk("enc", "e", #","use":"enc""#)),"#
            + #"\#(jwk("strict", "s", #","alg":"HS512""#)),{"kty":"new","kid":"n"},\#(jwk(nil, "z"))]}"#
        try MoonScript.run(
            #"""
            local verifier = moon.jwt.verifier { secret_jwks = [[\#(set)]], algorithms = { "HS256" } }
            local function ask(letter, kid)
              local token = moon.jwt.sign({}, { alg = "HS256", secret = letter:rep(32), kid = kid })
              local claims, reason = verifier:verify(token)
              return claims and "ok" or reason
            end
            assert(ask("a", "a") == "ok" and ask("b", "b") == "ok")
            assert(ask("a", "b") == "wrong signature" and ask("a", "c") == "unknown key" and ask("e", "enc") == "unknown key")
            assert(ask("s", "strict") == "unknown key" and ask("n", "n") == "unknown key")
            assert(ask("z") == "ok" and ask("a") == "ok" and ask("q") == "wrong signature")
            """#)
    }

    @Test func keysCanChangeAndTokensAreForgottenThen() throws {
        try MoonScript.run(
            #"""
            local private = [[
            -----BEGIN PRIVATE KEY-----
            MC4CAQAwBQYDK2VwBCIEICyMRoVzmYFduNMFeKZj4xSEdBi+Hpj2t/AiwN24ZOTc
            -----END PRIVATE KEY-----
            ]]
            local function set(x) return { keys = { { kty = "OKP", crv = "Ed25519", x = x } } } end
            local verifier = moon.jwt.verifier { algorithms = { "EdDSA", "HS256" } }
            local token = moon.jwt.sign({ sub = "x" }, { alg = "EdDSA", key = private })
            assert(not verifier:hasKeys() and select(2, verifier:verify(token)) == "no keys yet")
            assert(verifier:setKeys(set "-bB90AAHwVwFox6_H1PassWbdFmjvraxYzLlJG2FKgU"))
            assert(verifier:hasKeys() and verifier:verify(token) and verifier:verify(token))
            local ok, reason = verifier:setKeys "{}"
            assert(ok == nil and reason:find "no list" and verifier:verify(token))
            -- Everybody can fetch such a set: there are no secrets in it.
            ok, reason = verifier:setKeys { keys = { { kty = "oct", k = moon.base64url.encode(("s"):rep(32)) } } }
            assert(ok == nil and reason:find "no key that fits" and verifier:verify(token))
            assert(verifier:setKeys(moon.json.encode(set "LZN-QnzlnnNc19HxWsEJo6w-sreOjc58tFWNbMp_6X0")))
            assert(select(2, verifier:verify(token)) == "wrong signature")
            """#)
    }

    @Test func rememberedTokensEndInTime() throws {
        let (key, token) = JWTVectorTests.tokens[0]
        var rules = JWTVerifier.Rules()
        rules.leeway = 10
        let verifier = try JWTBench.verifier(jwks: key, rules, cache: 64)
        for now in stride(from: 1_300_819_300.0, through: 1_300_819_389, by: 1) {
            #expect(JWTBench.ask(verifier, token, now: now) == "ok")
        }
        #expect(JWTBench.ask(verifier, token, now: 1_300_819_390) == "expired")
        #expect(JWTBench.ask(verifier, token, now: 1_300_819_300) == "ok")
    }

    @Test func theCacheIsBoundedAndExact() throws {
        var cache = JWTCache(capacity: 16)
        let document = try "{}".withBytes { try JSONDocument($0) }
        func key(_ number: Int) throws -> JWTCache.Key { try #require("\(number)".withBytes { JWTCache.Key($0) }) }
        for number in 0..<1000 {
            cache.insert(document, size: 10, for: try key(number), end: .infinity, instant: UInt64(number))
            #expect(cache.claims(of: try key(number), now: 0, instant: UInt64(number)) === document)
        }
        let kept = try (0..<1000).filter { cache.claims(of: try key($0), now: 0, instant: 1000) != nil }
        #expect(kept.count <= 16 && kept.contains(999))
        #expect(cache.claims(of: try key(999), now: 0, instant: 1000 + 300_000_000_000) == nil)
        cache.insert(document, size: 1 << 20, for: try key(5000), end: .infinity, instant: 0)
        #expect(cache.claims(of: try key(5000), now: 0, instant: 0) == nil)
    }

    @Test(arguments: [
        ("{}", "", true), ("{ key = '' }", "key must be a text", false),
        ("{ secret = '' }", "secret must be a text", false),
        ("{ secret = 5 }", "secret must be a text", false),
        ("{ secret = 'short' }", "HS256 needs a secret of at least 32 bytes", false),
        ("{ key = ('s'):rep(64) }", "key holds no PEM", false),
        ("{ key = 'x', jwks = '{}' }", "exclude each other", false),
        ("{ secret = ('s'):rep(40), algorithms = { 'HS512' } }", "HS512 needs a secret of at least 64 bytes", false),
        ("{ key = '-----BEGIN PUBLIC KEY-----' }", "the PEM text is cut", false),
        ("{ secret = 'x', secret_jwks = '{}' }", "exclude each other", false),
        ("{ jwks = '[]' }", "no JSON Web Key Set", false), ("{ jwks = '{\"keys\":[{}]}' }", "a key has no kty", false),
        (
            "{ jwks = '{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}' }", "of no type that is taken",
            false
        ),
        (
            "{ jwks = '{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}' }", "damaged",
            false
        ),
        ("{ leeway = -1 }", "leeway must be 0 to 3600", false), ("{ issuer = {} }", "issuer is empty", false),
        ("{ isuer = 'x' }", "unknown option: did you mean \"issuer\"?", false),
        ("{ algorithms = 'none' }", "unknown algorithm (known: ", false),
        ("{ audience = { 5 } }", "audience must be a text or a list", false),
    ])
    func optionsAreChecked(options: String, message: String, isFine: Bool) throws {
        let unhealthyReason = MoonScript.unhealthyReason("moon.jwt.verifier(\(options))")
        #expect(isFine ? unhealthyReason.isEmpty : unhealthyReason.contains(message), "\(unhealthyReason)")
    }

    @Test func weakKeysAreRefused() throws {
        let weak = JWTTests.pair("RSA-1024")
        #expect(
            MoonScript.unhealthyReason("moon.jwt.verifier { key = [[\(weak.shared)]] }").contains(
                "of no type that is taken"))
        #expect(
            MoonScript.unhealthyReason("moon.jwt.verifier { key = [[\(JWTTests.rsa.secret)]] }").contains(
                "key holds a private key"))
    }

    /// Whatever a token is made of, the verifier refuses it, without harm.
    @Test func randomTokensAreRefused() throws {
        var generator = Generator(state: 7)
        let verifiers = try JWTVectorTests.tokens.map { try JWTBench.verifier(jwks: $0.key, cache: 64) }
        let letters = Array("ABCabc019-_.=+/{}\" ".utf8)
        for round in 0..<20_000 {
            let (_, token) = JWTVectorTests.tokens[round % 3]
            var bytes = Array(token.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0..<max(1, bytes.count), using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes.removeSubrange(place...)
                case 1: bytes.insert(letters.randomElement(using: &generator) ?? 0, at: min(place, bytes.count))
                case 2 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &generator)
                default: bytes.removeSubrange(..<min(place, bytes.count))
                }
            }
            guard bytes != Array(token.utf8) else { continue }
            let answer = bytes.withUnsafeBufferPointer { buffer in
                verifiers[round % 3].verify(
                    buffer.baseAddress.map { Bytes($0, buffer.count) } ?? .empty, now: 1_300_819_000, instant: 1)
            }
            if case .claims = answer { Issue.record("\(String(decoding: bytes, as: UTF8.self)) was accepted") }
        }
    }

    @Test func longTokensAreNotLookedAt() throws {
        let verifier = try JWTBench.verifier(jwks: JWTVectorTests.tokens[0].key)
        #expect(
            JWTBench.ask(verifier, String(repeating: "a", count: 20_000), now: 0) == "malformed: longer than 16 KiB")
        for text in ["", ".", "..", "...", "a", "a.b", "a.b.c.d", ".b.c", "e30.e30.", "e30..e30"] {
            #expect(JWTBench.ask(verifier, text, now: 0).hasPrefix("malformed"), "\(text)")
        }
    }

    /// µs for one token, fresh and remembered: prints, does not judge. `MOONGATE_JWT_COST=1` runs it.
    @Test(.enabled(if: getenv("MOONGATE_JWT_COST") != nil)) func cost() throws {
        for (index, name) in ["HS256", "RS256", "ES256"].enumerated() {
            let (key, token) = JWTVectorTests.tokens[index]
            for cache in [0, 1024] {
                let verifier = try JWTBench.verifier(jwks: key, cache: cache)
                let rounds = 5000
                let start = Clock.now()
                for _ in 0..<rounds { _ = JWTBench.ask(verifier, token, now: 1_300_819_000) }
                let microseconds = Double(Clock.now() - start) / 1000 / Double(rounds)
                print("jwt \(name) cache \(cache): \(microseconds) µs")
            }
        }
    }
}
