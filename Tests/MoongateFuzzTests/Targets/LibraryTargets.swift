import COpenSSL
import MoongateConfig

@testable import Moongate

/// The formats that policies read: what stands behind `moon` and the handle.
extension FuzzTarget {
    static let libraryTexts = [json, base64, percentText, urlText, jsonWebToken, keySet, publicKeys, smallTexts]

    /// A text that can be read is written, and that reads as the same.
    private static let json = FuzzTarget("json", longestInput: 4096) { bytes in
        guard let document = try? JSONDocument(bytes.view), let root = document.root else { return }
        let written = try write(root)
        let again = try written.withView { text in
            guard let again = try? JSONDocument(text), let root = again.root else {
                throw Violation(
                    description: "what was written cannot be read: \(String(decoding: written, as: UTF8.self))")
            }
            return try write(root)
        }
        try Violation.check(again == written, "written again it is another text")
    }

    private static func write(_ value: TapeView) throws -> [UInt8] {
        var writer = JSONWriter()
        do throws(JSONFault) {
            try writer.write(value)
        } catch {
            // Escapes make texts longer, names that come twice are no table.
            guard writer.text.count > JSONWriter.limit / 2 else { throw Violation(description: "\(error)") }
        }
        return writer.text
    }

    private static let base64 = FuzzTarget("base64", longestInput: 1024) { bytes in
        for alphabet in [Base64.Alphabet.standard, .url] {
            let encoded = [UInt8].filled(Base64.encodedCount(bytes.count)) {
                Base64.encode(bytes.view, to: $0, alphabet: alphabet)
            }
            let decoded = [UInt8].filled(encoded.count) { target in
                encoded.withView { Base64.decode($0, to: target, alphabet: alphabet) }
            }
            try Violation.check(decoded == Array(bytes), "encoded and decoded it is another text")
            _ = [UInt8].filled(bytes.count) { Base64.decode(bytes.view, to: $0, alphabet: alphabet) ?? 0 }
        }
        _ = [UInt8].filled(bytes.count) { Base64.withoutBlanks(bytes.view, to: $0).count }
        // For tokens: one text for the same bytes, or a token could be had twice.
        if let strict = Base64.decodedURL(bytes.view), bytes.last != UInt8(ascii: "=") {
            try Violation.check(Base64.encodedURL(strict) == Array(bytes), "another text stands for the same bytes")
        }
    }

    private static let percentText = FuzzTarget("percent", longestInput: 1024) { bytes in
        let escaped = [UInt8].filled(bytes.count * 3) { PercentEncoding.escape(bytes.view, to: $0) }
        let unescaped = [UInt8].filled(escaped.count) { target in
            escaped.withView { PercentEncoding.unescape($0, to: target) }
        }
        try Violation.check(unescaped == Array(bytes), "escaped and unescaped it is another text")
        for isForm in [false, true] {
            _ = [UInt8].filled(bytes.count) { PercentEncoding.unescape(bytes.view, to: $0, isForm: isForm) ?? 0 }
        }
        _ = [UInt8].filled(bytes.count) { PercentText.decode(bytes.view, to: $0) }
    }

    private static let urlText = FuzzTarget("url", longestInput: 512) { bytes in
        guard let url = try? URLText(bytes.view) else { return }
        let parts = [url.scheme, url.user, url.password, url.host, url.path, url.query, url.fragment]
        let sum = parts.reduce(0) { $0 + ($1?.count ?? 0) }
        try Violation.check(sum <= bytes.count, "parts that are more than the whole")
        try Violation.check((0...65535).contains(url.port ?? 0), "port \(url.port ?? 0)")
    }

    /// A token against a key that nobody signs with: no input may be taken.
    private static let jsonWebToken = FuzzTarget("jwt", longestInput: 2048) { bytes in
        guard let secret = try? JWTSecret(Array("a secret of thirty-two bytes and more".utf8)),
            let keys = try? JWTKeySet(secret: secret, algorithms: nil)
        else {
            throw Violation(description: "no keys")
        }
        let verifier = JWTVerifier(JWTVerifier.Rules(), keys: keys, cacheCapacity: 4)
        if case .claims = verifier.verify(bytes.view, now: 1_700_000_000, instant: 1) {
            throw Violation(description: "a token that nobody has signed")
        }
    }

    /// A JWK set (RFC 7517).
    private static let keySet = FuzzTarget("jwks", longestInput: 2048) { bytes in
        guard let document = try? JSONDocument(bytes.view), let root = document.root,
            let keys = try? JWTKeySet(jwks: root, kind: .fetched, algorithms: nil)
        else { return }
        try Violation.check(keys.keys.count <= JWTKeySet.mostKeys, "more keys than are taken")
        for algorithm in keys.algorithms {
            let candidates = keys.candidates(name: nil, algorithm: algorithm)
            try Violation.check(candidates.count <= JWTKeySet.mostTries, "more keys than are tried")
            for key in candidates {
                if case .secret = key.kind { throw Violation(description: "a secret that everybody can fetch") }
                try Violation.check(
                    !key.verify(Bytes("signature"), of: Bytes("text"), by: algorithm), "a signature that nobody made")
            }
        }
    }

    /// PEM as certificates, keys, lists of revoked ones and public keys have it.
    private static let publicKeys = FuzzTarget("pem", longestInput: 4096) { bytes in
        let pem = Array(bytes)
        for certificate in (try? PEMFile.certificates(pem, path: "file")) ?? [] {
            let facts = X509Facts(pointer: certificate)
            _ = (facts.subject, facts.dnsNames, facts.uriNames, facts.commonName, facts.expiration, facts.validFrom)
            X509_free(certificate)
        }
        if let key = try? PEMFile.privateKey(pem, path: "file") { EVP_PKEY_free(key) }
        for list in (try? PEMFile.revocationLists(pem, path: "file")) ?? [] { X509_CRL_free(list) }
        // A text is one of them at most: no key is a secret.
        let keys = try? JWTKeySet(publicPEM: pem, algorithms: nil)
        try Violation.check(keys == nil || (try? JWTSecret(pem)) == nil, "a public key that is a secret as well")
    }

    /// The first byte says which.
    private static let smallTexts = FuzzTarget("small-texts", longestInput: 256) { bytes in
        var input = FuzzInput(bytes)
        let choice = input.byte()
        let rest = input.rest()
        let text = String(decoding: rest, as: UTF8.self)
        switch choice % 8 {
        case 0:
            guard let (seconds, fraction) = rest.withView({ RFC3339.parse($0) }) else { return }
            try Violation.check((0..<1).contains(fraction) || fraction < 1.000001, "a fraction of \(fraction)")
            guard seconds >= 0, seconds < 253_402_300_800 else { return }
            let written = Array(RFC3339.text(unixMilliseconds: seconds * 1000).utf8)
            let again = written.withView { RFC3339.parse($0) }
            try Violation.check(again?.seconds == seconds, "another time")
        case 1:
            guard let block = try? CIDR(text) else { return }
            try Violation.check(block.first <= block.last, "a block that ends before it begins")
        case 2:
            guard let address = SocketAddress(text) else { return }
            try Violation.check(SocketAddress(address.description) == address, "\(address) is another address")
        case 3: _ = rest.withView { ClientAddress.parse($0) }
        case 4: _ = try? PasswordHash(text)
        case 5:
            guard let set = try? MethodSet(["shop.Cart/Get*", "*/*", text]) else { return }
            _ = rest.withView { set.contains($0) }
        case 6: _ = rest.withView { GRPCContentType.isGRPC($0) }
        default:
            guard let milliseconds = SettingSyntax.milliseconds(text) else { return }
            try Violation.check(milliseconds >= 0, "a duration below 0")
            if let size = SettingSyntax.bytes(text) { try Violation.check(size >= 0, "a size below 0") }
        }
    }
}
