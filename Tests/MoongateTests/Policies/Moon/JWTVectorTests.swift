import Testing

@testable import Moongate

/// The examples of RFC 7515 (appendix A) and RFC 8037 (appendix A).
@Suite struct JWTVectorTests {
    private static let payload =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

    private static let secret = """
        {"kty": "oct",
         "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}
        """
    private static let rsa = """
        {"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPM\
        EzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXB\
        dQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91k\
        zk2PAcDTW9gb54h4FRWyuXpoQ"}
        """
    private static let curve = """
        {"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
         "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}
        """

    static let tokens: [(key: String, token: String)] = [
        (secret, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\(payload).dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        (
            rsa,
            "eyJhbGciOiJSUzI1NiJ9.\(payload)."
                + "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb"
                + "F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383"
                + "LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy"
                + "wlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        ),
        (
            curve,
            "eyJhbGciOiJFUzI1NiJ9.\(payload)."
                + "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        ),
    ]

    @Test(arguments: tokens.indices)
    func theExamplesAreRight(index: Int) throws {
        let (key, token) = JWTVectorTests.tokens[index]
        let verifier = try JWTBench.verifier(jwks: key)
        #expect(JWTBench.ask(verifier, token, now: 1_300_819_379) == "ok")
        #expect(JWTBench.ask(verifier, token, now: 1_300_819_380) == "expired")
        // Any other bit, and it is not signed.
        for place in stride(from: 0, to: token.utf8.count, by: 7) {
            var bytes = Array(token.utf8)
            bytes[place] = bytes[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(JWTBench.ask(verifier, String(decoding: bytes, as: UTF8.self), now: 1_300_819_379) != "ok")
        }
    }

    @Test func everyKeyRefusesTheOthersTokens() throws {
        for (index, (key, _)) in JWTVectorTests.tokens.enumerated() {
            let verifier = try JWTBench.verifier(jwks: key)
            for (other, (_, token)) in JWTVectorTests.tokens.enumerated() where other != index {
                #expect(JWTBench.ask(verifier, token, now: 1_300_819_379) == "algorithm not allowed")
            }
        }
    }

    @Test func edwardsSignaturesAreChecked() throws {
        let jwk = #"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
        let document = try jwk.withBytes { try JSONDocument($0) }
        let root = try #require(document.root)
        let key = try #require(try JWTKey.jwk(root, of: .published))
        let signature = try #require(
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg".withBytes {
                Base64.decodedURL($0)
            })
        let isRight = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".withBytes { text in
            signature.withUnsafeBufferPointer { buffer in
                buffer.baseAddress.map { key.verify(Bytes($0, buffer.count), of: text, by: .edDSA) } ?? false
            }
        }
        #expect(isRight)
    }
}

enum JWTBench {
    static func verifier(
        jwks: String, _ rules: JWTVerifier.Rules = .init(), cache: Int = 0
    ) throws -> JWTVerifier {
        let document = try jwks.withBytes { try JSONDocument($0) }
        let root = try #require(document.root)
        let kind: JWTKeySet.Kind = root.member("kty")?.equals("oct") == true ? .secrets : .published
        let keys = try JWTKeySet(jwks: root, kind: kind, algorithms: rules.algorithms)
        return JWTVerifier(rules, keys: keys, cacheCapacity: cache)
    }

    /// `ok`, or the reason of the refusal.
    static func ask(_ verifier: JWTVerifier, _ token: String, now: Double, instant: Instant = 1) -> String {
        switch token.withBytes({ verifier.verify($0, now: now, instant: instant) }) {
        case .claims: "ok"
        case .refused(let reason): reason
        }
    }
}
