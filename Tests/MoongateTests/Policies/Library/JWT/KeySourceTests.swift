import COpenSSL
import Testing

@testable import Moongate

/// What files hold, and what becomes of it under `key` and under `secret`: a key, a secret or a fault, by what was asked for alone.
@Suite struct KeySourceTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var bytes: [UInt8]
        /// Under `key`: `nil` for a key, else a part of the fault.
        var keyFault: String?
        /// Under `secret`: `nil` for a secret, else a part of the fault.
        var secretFault: String?
        var testDescription: String { name }
    }

    private typealias Keys = KeyFixtures

    private static func key(_ name: String, _ text: String) -> Case {
        Case(name: name, bytes: Array(text.utf8), keyFault: nil, secretFault: "secret holds PEM")
    }

    private static func fault(_ name: String, _ text: String, _ key: String, _ secret: String? = "secret holds PEM")
        -> Case
    {
        Case(name: name, bytes: Array(text.utf8), keyFault: key, secretFault: secret)
    }

    private static func fault(_ name: String, _ bytes: [UInt8], _ key: String, _ secret: String?) -> Case {
        Case(name: name, bytes: bytes, keyFault: key, secretFault: secret)
    }

    private static func wide(_ text: String, isBig: Bool = false, isMarked: Bool = true) -> [UInt8] {
        let units = (isMarked ? [0xfeff] : []) + Array(text.utf16)
        return units.flatMap { isBig ? [UInt8($0 >> 8), UInt8($0 & 255)] : [UInt8($0 & 255), UInt8($0 >> 8)] }
    }

    private static func lines(_ text: String, _ change: (String) -> String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { change(String($0)) }.joined(separator: "\n")
    }

    private static func body(_ pem: String) -> String {
        pem.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()
    }

    private static func der(_ pem: String) -> [UInt8] { body(pem).withBytes { Base64.decodedPadded($0) } ?? [] }

    private static let bag =
        "Bag Attributes\n    friendlyName: idp\n    localKeyID: 54 69 6D\nKey Attributes: <No Attributes>\n"
    private static let shown = "Certificate:\n    Data:\n        Version: 3 (0x2)\n        Issuer: CN=idp\n"
    private static let noPEM = "key holds no PEM, which has a line"
    private static let jwk = #"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#
    private static let secret = "0123456789abcdef0123456789abcdef"
    private static let octets = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
    private static let edwards = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"

    static let keys: [Case] = [
        key("a public key", Keys.curvePublic), key("a line break at its end", Keys.curvePublic + "\n"),
        key("an empty line before", "\n" + Keys.curvePublic),
        key("blank lines before", " \t\n\r\n\n" + Keys.curvePublic),
        key("a byte order mark", "\u{FEFF}" + Keys.curvePublic),
        key("a byte order mark and an empty line", "\u{FEFF}\n" + Keys.curvePublic),
        key("a comment before", "# idp\n" + Keys.curvePublic), key("a word before", "idp\n" + Keys.curvePublic),
        key("Bag Attributes before", bag + Keys.curvePublic), key("text behind", Keys.curvePublic + "\nthe end\n"),
        key("what openssl x509 -text prints", shown + Keys.certificate),
        key("CRLF", lines(Keys.curvePublic) { $0 + "\r" }), key("CR", Keys.curvePublic.replacing("\n", with: "\r")),
        key("indented", lines(Keys.curvePublic) { "    " + $0 }),
        key("blanks at the ends", lines(Keys.curvePublic) { $0 + "  " }),
        key("one line of Base64", "-----BEGIN PUBLIC KEY-----\n\(body(Keys.curvePublic))\n-----END PUBLIC KEY-----"),
        key("a certificate", Keys.certificate),
        key("X509 CERTIFICATE", Keys.certificate.replacing("CERTIFICATE", with: "X509 CERTIFICATE")),
        key("TRUSTED CERTIFICATE", Keys.certificate.replacing("CERTIFICATE", with: "TRUSTED CERTIFICATE")),
        key("a chain", Keys.certificate + "\n" + Keys.otherCertificate),
        key("a key and its certificate", Keys.curvePublic + "\n" + Keys.certificate),
        key("the same key twice", Keys.curvePublic + "\n" + Keys.curvePublic), key("RSA", Keys.rsaPublic),
        key("RSA PUBLIC KEY", Keys.rsaPKCS1), key("a request before", Keys.request + "\n" + Keys.curvePublic),
    ]

    static let faults: [Case] = [
        fault("an empty file", "", noPEM, "secret must be a text"),
        fault("blanks", "\n \n", noPEM, "at least 32 bytes"), fault("a secret", secret, noPEM, nil),
        fault("a long secret", String(repeating: "s3cret", count: 40), noPEM, nil),
        fault("a byte order mark alone", "\u{FEFF}", noPEM, "at least 32 bytes"),
        fault("four dashes", Keys.curvePublic.replacing("-----", with: "----"), "its line -----BEGIN is damaged"),
        fault(
            "SSH2", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----",
            "its line -----BEGIN is damaged"),
        fault("BEGIN misspelt", Keys.curvePublic.replacing("BEGIN", with: "BEGlN"), "its line -----BEGIN is damaged"),
        fault("an end alone", String(Keys.curvePublic.dropFirst(27)), "its line -----BEGIN is damaged"),
        fault("lower case", Keys.curvePublic.lowercased(), "its line -----BEGIN is damaged"),
        fault(
            "words in lower case", Keys.curvePublic.replacing("PUBLIC KEY", with: "public key"), "holds no public key"),
        fault("a marker within a line", "key: " + Keys.curvePublic, "its line -----BEGIN is damaged"),
        fault(
            "a marker without an end", Keys.curvePublic.replacing("KEY-----", with: "KEY----"),
            "damaged line -----BEGIN"),
        fault("a cut file", String(Keys.curvePublic.dropLast(40)), "the PEM text is cut"),
        fault("another end", Keys.curvePublic.replacing("END PUBLIC", with: "END PRIVATE"), "the PEM text is cut"),
        fault("one line alone", "-----BEGIN PUBLIC KEY-----", "the PEM text is cut"),
        fault(
            "no Base64", "-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----", "damaged: a block is no Base64"),
        fault("nothing within", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----", "damaged"),
        fault(
            "other bytes within", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
            "a block is no public key"),
        fault("bytes behind the key", Keys.curvePublic.replacing("==\n", with: "AA\n"), "damaged"),
        fault("a private key", Keys.curvePrivate, "key holds a private key"),
        fault("EC PRIVATE KEY", Keys.curveTraditional, "key holds a private key"),
        fault("RSA PRIVATE KEY", Keys.rsaTraditional, "key holds a private key"),
        fault("an encrypted key", Keys.encrypted, "key holds a private key"),
        fault("Proc-Type: 4,ENCRYPTED", Keys.encryptedTraditional, "key holds a private key"),
        fault("OPENSSH PRIVATE KEY", Keys.openSSHPrivate, "key holds a private key"),
        fault(
            "a private key with its certificate", Keys.certificate + "\n" + Keys.curvePrivate, "key holds a private key"
        ),
        fault("two keys", Keys.curvePublic + "\n" + Keys.otherPublic, "several public keys"),
        fault("a key and another's certificate", Keys.rsaPublic + "\n" + Keys.certificate, "several public keys"),
        fault("a request", Keys.request, "holds no public key or certificate"),
        fault("UTF-16", wide(Keys.curvePublic), "UTF-16", "UTF-16"),
        fault("UTF-16, the other way round", wide(Keys.curvePublic, isBig: true), "UTF-16", "UTF-16"),
        fault("UTF-16 without a mark", wide(Keys.curvePublic, isMarked: false), "UTF-16", "UTF-16"),
        fault("DER", der(Keys.curvePublic), "in DER", "in DER"),
        fault("DER of RSA", der(Keys.rsaPublic), "in DER", "in DER"),
        fault("DER of PKCS #1", der(Keys.rsaPKCS1), "in DER", "in DER"),
        fault("a certificate in DER", der(Keys.certificate), "in DER", "in DER"),
        fault("a private key in DER", der(Keys.curvePrivate), "in DER", "in DER"),
        fault("an encrypted key in DER", der(Keys.encrypted), "in DER", "in DER"),
        fault("Base64 without markers", body(Keys.curvePublic), "in DER", "in DER"),
        fault("Base64 of PEM", base64(Keys.curvePublic), "its line -----BEGIN is damaged"),
        fault("a JWK", jwk, "JSON Web Key", "JSON Web Key"),
        fault("a JWK behind a byte order mark", "\u{FEFF}\n" + jwk, "JSON Web Key", "JSON Web Key"),
        fault("a JWK set", #"{"keys":[\#(jwk)]}"#, "JSON Web Key", "JSON Web Key"),
        fault("JSON that is no key", #"{"a":"0123456789abcdef0123456789abcdef"}"#, noPEM, nil),
        fault("OpenSSH", Keys.openSSHPublic, "OpenSSH", "OpenSSH"),
        fault("a secret with zeroes", [UInt8](repeating: 0, count: 16) + Array(secret.utf8), noPEM, nil),
        fault("random bytes", (0..<64).map { UInt8(($0 * 37 + 11) % 256) }, noPEM, nil),
    ]

    private static func base64(_ text: String) -> String {
        text.withBytes { source in
            let bytes = [UInt8](unsafeUninitializedCapacity: Base64.encodedCount(source.count)) { buffer, count in
                count = buffer.baseAddress.map { Base64.encode(source, to: $0) } ?? 0
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    @Test(arguments: keys + faults)
    func aTextIsWhatItsOptionSays(content: Case) throws {
        #expect(message { try JWTKeySet(publicPEM: content.bytes, algorithms: nil) } == content.keyFault)
        #expect(message { try JWTKeySet(secret: JWTSecret(content.bytes), algorithms: nil) } == content.secretFault)
        // RFC 8725 §2.1: whatever there is in the file, nobody makes an HMAC of it under `key`.
        guard let set = try? JWTKeySet(publicPEM: content.bytes, algorithms: nil) else { return }
        for algorithm in [JWTAlgorithm.hs256, .hs384, .hs512] {
            #expect(!set.algorithms.contains(algorithm) && set.candidates(name: nil, algorithm: algorithm).isEmpty)
            #expect(throws: JWTFault.self) { try JWTKeySet(publicPEM: content.bytes, algorithms: [algorithm]) }
        }

        func message(_ make: () throws -> JWTKeySet) -> String? {
            do {
                _ = try make()
                return nil
            } catch {
                let known = [content.keyFault, content.secretFault].compactMap { $0 }
                return known.first { "\(error)".contains($0) } ?? "\(error)"
            }
        }
    }

    /// Files that are damaged by chance: never a key and a secret at a time, and mostly none of both.
    @Test func noTextIsAKeyAndASecret() {
        var generator = Generator(state: 14)
        for round in 0..<20_000 {
            var bytes = KeySourceTests.keys[round % KeySourceTests.keys.count].bytes
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0...bytes.count, using: &generator)
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: place)
                case 1 where place < bytes.count: bytes.remove(at: place)
                case 2 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &generator)
                default: bytes.insert(contentsOf: "-----BEGIN ".utf8.prefix(place % 12), at: min(place, bytes.count))
                }
            }
            let isKey = (try? JWTKeySet(publicPEM: bytes, algorithms: nil)) != nil
            let isSecret = (try? JWTSecret(bytes)) != nil
            #expect(!isKey || !isSecret, "\(String(decoding: bytes, as: UTF8.self))")
        }
    }

    @Test func thereAreEnoughContents() { #expect(KeySourceTests.keys.count + KeySourceTests.faults.count >= 60) }

    /// Forged tokens, with every piece of the public file as the secret.
    @Test(arguments: keys)
    func noTokenIsForgedWithAPublicFile(content: Case) throws {
        let verifier = JWTVerifier(
            JWTVerifier.Rules(), keys: try JWTKeySet(publicPEM: content.bytes, algorithms: nil), cacheCapacity: 0)
        let pieces = [
            content.bytes, Array(content.bytes.dropLast()), content.bytes + [10], Array(content.bytes.dropFirst(3)),
        ]
        for algorithm in ["HS256", "HS384", "HS512", "none", "None", ""] {
            for secret in pieces {
                let signed =
                    Base64.encodedURL(Array(#"{"alg":"\#(algorithm)"}"#.utf8)) + [46]
                    + Base64.encodedURL(Array(#"{"sub":"root"}"#.utf8))
                let mac = mac(of: signed, secret, algorithm)
                let answer = (signed + [46] + Base64.encodedURL(mac)).withUnsafeBufferPointer { buffer in
                    verifier.verify(Bytes(buffer.baseAddress!, buffer.count), now: 0, instant: 1)
                }
                guard case .refused = answer else {
                    Issue.record("\(content.name): \(algorithm) was taken")
                    return
                }
            }
        }
    }

    private func mac(of text: [UInt8], _ secret: [UInt8], _ algorithm: String) -> [UInt8] {
        let digest: Digest = algorithm == "HS384" ? .sha384 : algorithm == "HS512" ? .sha512 : .sha256
        return text.withUnsafeBufferPointer { text in
            secret.withUnsafeBufferPointer { secret in
                [UInt8](unsafeUninitializedCapacity: 64) { room, count in
                    guard let text = text.baseAddress.map({ Bytes($0, text.count) }), let target = room.baseAddress,
                        let key = secret.baseAddress.map({ Bytes($0, secret.count) })
                    else { return }
                    count = digest.mac(key: key, text, to: target) ?? 0
                }
            }
        }
    }

    @Test(arguments: [
        (Keys.curvePrivate, ""), (Keys.curveTraditional, ""), (Keys.rsaTraditional, ""),
        ("\u{FEFF}\n# own\n" + Keys.curvePrivate, ""), (Keys.certificate + "\n" + Keys.curvePrivate, ""),
        (Keys.encrypted, "has a passphrase"), (Keys.encryptedTraditional, "has a passphrase"),
        (Keys.openSSHPrivate, "of a form that is not taken"), (Keys.curvePublic, "holds no private key"),
        (Keys.curvePrivate + "\n" + Keys.rsaTraditional, "several private keys"), (secret, "key holds no PEM"),
        (Keys.curvePrivate.replacing("-----", with: "----"), "its line -----BEGIN is damaged"),
    ])
    func signingTakesPrivateKeysOnly(text: String, fault: String) {
        let unhealthyReason = MoonScript.unhealthyReason(
            """
            local alg = [[\(text)]]
            moon.jwt.sign({}, { alg = alg:find "RSA" and "RS256" or "ES256", key = alg })
            """)
        #expect(fault.isEmpty ? unhealthyReason.isEmpty : unhealthyReason.contains(fault), "\(unhealthyReason)")
        #expect(!MoonScript.unhealthyReason("moon.jwt.sign({}, { alg = 'HS256', key = [[\(text)]] })").isEmpty)
        if text != KeySourceTests.secret {
            #expect(!MoonScript.unhealthyReason("moon.jwt.sign({}, { alg = 'HS256', secret = [[\(text)]] })").isEmpty)
        }
    }

    @Test(arguments: [
        (#"{"kty":"oct","k":"\#(octets)"}"#, "secret_jwks", ""),
        (#"{"keys":[{"kty":"oct","k":"\#(octets)","use":"enc"}]}"#, "no key that fits", "no key that fits"),
        (#"{"keys":[{"kty":"oct","k":"\#(octets)","alg":"RS256"}]}"#, "secret_jwks", "no key that fits"),
        (#"{"kty":"OKP","crv":"Ed25519","x":"\#(edwards)"}"#, "", "public keys belong under jwks"),
        (#"{"kty":"OKP","crv":"Ed25519","x":"\#(edwards)","use":"enc"}"#, "no key that fits", "no key that fits"),
        (
            #"{"kty":"OKP","crv":"Ed25519","x":"\#(edwards)","key_ops":["sign"]}"#, "no key that fits",
            "no key that fits"
        ),
        (#"{"kty":"OKP","crv":"Ed25519","x":"\#(edwards)","alg":"HS256"}"#, "no key that fits", "belong under jwks"),
        (#"{"kty":"OKP","crv":"Ed25519","x":"\#(edwards)","alg":"none"}"#, "no key that fits", "no key that fits"),
    ])
    func kindsOfKeySetsAreNotMixed(jwk: String, published: String, secrets: String) throws {
        for (kind, fault) in [(JWTKeySet.Kind.published, published), (.secrets, secrets)] {
            let root = try jwk.withBytes { try JSONDocument($0) }
            do {
                _ = try JWTKeySet(jwks: try #require(root.root), kind: kind, algorithms: nil)
                #expect(fault.isEmpty, "\(jwk) as \(kind)")
            } catch let error as JWTFault {
                #expect(!fault.isEmpty && error.description.contains(fault), "\(error)")
            }
        }
    }

    @Test func fetchedSetsHoldNoSecrets() throws {
        let set =
            #"{"keys":[{"kty":"oct","kid":"a","k":"\#(KeySourceTests.octets)"},"#
            + #"{"kty":"OKP","crv":"Ed25519","x":"\#(KeySourceTests.edwards)"}]}"#
        let document = try set.withBytes { try JSONDocument($0) }
        let keys = try JWTKeySet(jwks: try #require(document.root), kind: .fetched, algorithms: nil)
        #expect(keys.keys.map(\.kind) == [.edwards] && keys.algorithms == [.edDSA])
    }

    /// A secret within a JWK is held to the same rules: PEM of others' public keys is none.
    @Test func aKeyWithinASecretJWKIsNoSecret() throws {
        let pem = String(decoding: Base64.encodedURL(Array(Keys.curvePublic.utf8)), as: UTF8.self)
        let document = try #"{"kty":"oct","k":"\#(pem)"}"#.withBytes { try JSONDocument($0) }
        #expect(throws: JWTFault.self) {
            try JWTKeySet(jwks: try #require(document.root), kind: .secrets, algorithms: nil)
        }
    }
}
