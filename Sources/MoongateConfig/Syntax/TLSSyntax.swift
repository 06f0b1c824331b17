/// The texts of TLS settings: versions, cipher suites, curves, and names of certificates.
enum TLSSyntax {
    // MARK: Versions

    static let version = TextShape(
        name: "`1.2` or `1.3`", pattern: "^([Tt][Ll][Ss])?[ _-]?[Vv]?1[._][23]$", takesAnyScalar: true
    ).shown

    /// `1.2`, and what other proxies write: `v1.2`, `TLSv1.2`, `TLSV1_2`.
    static func parseVersion(_ text: String) throws(SyntaxFault) -> TLSVersion {
        var rest = text.uppercased()[...]
        if rest.hasPrefix("TLS") { rest = rest.dropFirst(3) }
        rest = rest.drop { " _-V".contains($0) }
        let number = String(rest).replacing("_", with: ".")
        if let version = TLSVersion(rawValue: number) { return version }
        if ["1.0", "1.1", "1"].contains(number) {
            throw SyntaxFault("TLS \(number) is too old for HTTP/2", hint: "write 1.2 or 1.3 (RFC 9113 §9.2)")
        }
        throw SyntaxFault("\(quoted(text)) is no version of TLS", hint: "write 1.2 or 1.3")
    }

    // MARK: Ciphers

    static let cipher = TextShape(name: "cipher suite", pattern: "^[A-Z0-9_-]+$").shown

    /// By OpenSSL's name or the IANA's: `ECDHE-RSA-AES128-GCM-SHA256`, `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`.
    static func parseCipher(_ text: String) throws(SyntaxFault) -> TLSCipher {
        if let cipher = TLSCipher(rawValue: text) { return cipher }
        if let cipher = TLSCipher.allCases.first(where: { ianaName(of: $0) == text }) { return cipher }
        let names = TLSCipher.allCases.map(\.rawValue)
        let hint =
            Spelling.suggestion(for: text, among: names)
            ?? "HTTP/2 allows \(names.joined(separator: ", ")) (RFC 9113 §9.2.2)"
        throw SyntaxFault("\(quoted(text)) is no cipher suite for HTTP/2", hint: hint)
    }

    /// OpenSSL's names of suites before TLS 1.3 in the IANA's form.
    private static func ianaName(of cipher: TLSCipher) -> String {
        guard cipher.version == .v1_2 else { return cipher.rawValue }
        var name = cipher.rawValue.replacing("-", with: "_")
        for (short, long) in [("ECDSA_", "ECDSA_WITH_"), ("RSA_", "RSA_WITH_"), ("AES", "AES_")] {
            name = name.replacing(short, with: long)
        }
        return "TLS_" + (name.hasSuffix("POLY1305") ? name + "_SHA256" : name)
    }

    // MARK: Curves

    static let curve = TextShape(name: "curve", pattern: "^[A-Za-z0-9-]+$").shown

    private static let otherCurveNames: [String: TLSCurve] = [
        "P256": .p256, "PRIME256V1": .p256, "SECP256R1": .p256, "P384": .p384, "SECP384R1": .p384, "P521": .p521,
        "SECP521R1": .p521,
    ]

    static func parseCurve(_ text: String) throws(SyntaxFault) -> TLSCurve {
        let upper = text.uppercased()
        if let curve = TLSCurve(rawValue: upper) ?? otherCurveNames[upper] { return curve }
        let names = TLSCurve.allCases.map(\.rawValue).joined(separator: ", ")
        throw SyntaxFault("\(quoted(text)) is no curve", hint: "there are \(names)")
    }

    // MARK: Names

    static let peerName = TextShape(name: "DNS name, URI or IP address", pattern: "^[!-~]+$").shown

    static func parsePeerName(_ text: String) throws(SyntaxFault) -> PeerName {
        if text.contains("://") {
            guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }), !text.hasPrefix(":") else {
                throw SyntaxFault("\(quoted(text)) is no URI")
            }
            return .uri(text)
        }
        if HostSyntax.isIPv4(text) || HostSyntax.isIPv6(text) { return .address(text.lowercased()) }
        return .dns(try parseDNSName(text, wildcard: true))
    }

    static let serverName = TextShape(name: "host name", pattern: "^[^*:/\\[\\]]+$").shown

    /// RFC 6066 §3: a DNS name in ASCII, without a dot at the end.
    static func parseServerName(_ text: String) throws(SyntaxFault) -> String {
        if HostSyntax.isIPv4(text) || HostSyntax.isIPv6(text) || HostSyntax.looksLikeIPv4(text) {
            throw SyntaxFault(
                "\(quoted(text)) is an address", hint: "servers are asked for names; put the address into names")
        }
        return try parseDNSName(text, wildcard: false)
    }

    private static func parseDNSName(_ text: String, wildcard: Bool) throws(SyntaxFault) -> String {
        let name = wildcard && text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
        guard HostSyntax.isHost(name), !HostSyntax.looksLikeIPv4(name) else {
            let hint = wildcard ? "write a.example, *.example, spiffe://… or an IP address" : "write it like a.example"
            throw SyntaxFault("\(quoted(text)) is no name", hint: hint)
        }
        let lowered = text.lowercased()
        return lowered.hasSuffix(".") ? String(lowered.dropLast()) : lowered
    }

    // MARK: Trust

    static let authorities = TextShape(name: "`system` or file path", pattern: "^.+$").shown

    /// `system`, or a file; one of that name is `./system`.
    static func parseTrust(_ text: String, folder: String) throws(SyntaxFault) -> UpstreamTLSConfig.Trust {
        text == "system" ? .system : .file(try NameSyntax.absolutePath(text, folder: folder))
    }
}
