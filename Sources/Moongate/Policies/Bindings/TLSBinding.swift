import CMoongate
import MoongateLua

/// The client's TLS connection; scripts only get one where there is TLS. Getters for the client's certificate give
/// nothing, or false, where it gave none.
enum TLSBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.tls, name: "TLS connection",
            summary: """
                The TLS of the connection to the client. Without a certificate of the client, what is about it is \
                empty, false or nil.
                """, bindings: session + local + peer)
    }

    private static var session: [LuaBinding] {
        [
            LuaBinding("tlsVersion", "", type: "(): string", doc: "`TLSv1.2` or `TLSv1.3`.") {
                TLSBinding.give($0) { $0.version }
            },
            LuaBinding(
                "ciphersuiteString", "", type: "(): string", doc: "The cipher suite, by OpenSSL's name."
            ) { TLSBinding.give($0) { $0.cipher } },
            LuaBinding(
                "ciphersuiteId", "", type: "(): string", doc: "The number of the cipher suite: `0x1301`."
            ) {
                TLSBinding.give($0) { tls in
                    let digits = String(tls.details?.cipherID ?? 0xffff, radix: 16)
                    return "0x" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            },
            LuaBinding(
                "sessionId", "", type: "(): string", doc: "The id of the TLS session in hexadecimal; may be empty."
            ) { TLSBinding.give($0) { $0.details?.sessionID ?? "" } },
        ]
    }

    private static var local: [LuaBinding] {
        [
            LuaBinding(
                "subjectLocalCertificate", "", type: "(): string",
                doc: "The subject of the certificate that the client was shown, as RFC 2253 writes it."
            ) { TLSBinding.give($0) { $0.details?.localCertificate?.subject ?? "" } },
            LuaBinding(
                "uriSanLocalCertificate", "", type: "(): string[]",
                doc: "The URIs among the alternative names of the certificate that the client was shown."
            ) { TLSBinding.giveList($0) { $0.details?.localCertificate?.uriNames } },
            LuaBinding(
                "dnsSansLocalCertificate", "", type: "(): string[]",
                doc: "The DNS names among the alternative names of the certificate that the client was shown."
            ) { TLSBinding.giveList($0) { $0.details?.localCertificate?.dnsNames } },
            LuaBinding(
                "oidsLocalCertificate", "", type: "(): string[]",
                doc: "The object identifiers of the extensions of the certificate that the client was shown."
            ) { TLSBinding.giveList($0) { $0.details?.localCertificate?.extensionOIDs } },
        ]
    }

    private static var peer: [LuaBinding] {
        [
            LuaBinding(
                "peerCertificatePresented", "", type: "(): boolean", doc: "Whether the client sent a certificate."
            ) { call in
                call.give(call.run?.connectionFacts?.tls?.details?.peerCertificate != nil)
                return MG_RETURN
            },
            LuaBinding(
                "peerCertificateValidated", "", type: "(): boolean",
                doc: "Whether the client sent a certificate and it was found good."
            ) { call in
                call.give(call.run?.connectionFacts?.tls?.details?.isPeerValidated ?? false)
                return MG_RETURN
            },
        ] + peerTexts + peerLists
    }

    private static var peerTexts: [LuaBinding] {
        [
            LuaBinding(
                "subjectPeerCertificate", "", type: "(): string", doc: "Its subject, as RFC 2253 writes it."
            ) { TLSBinding.givePeer($0) { $0.subject } },
            LuaBinding(
                "issuerPeerCertificate", "", type: "(): string", doc: "Its issuer, as RFC 2253 writes it."
            ) { TLSBinding.givePeer($0) { $0.issuer } },
            LuaBinding(
                "parsedSubjectPeerCertificate", "", type: "(): ParsedSubject?",
                doc: "The parts of its subject; nil without a certificate.", parsedSubject),
            LuaBinding(
                "sha256PeerCertificateDigest", "", type: "(): string", doc: "Its SHA-256 digest in hexadecimal."
            ) { TLSBinding.givePeer($0) { $0.digest } },
            LuaBinding(
                "serialNumberPeerCertificate", "", type: "(): string", doc: "Its serial number in hexadecimal."
            ) { TLSBinding.givePeer($0) { $0.serialNumber } },
            LuaBinding(
                "sha256PeerCertificateIssuerDigest", "", type: "(): string",
                doc: "The SHA-256 digest of its issuer's certificate, if the client sent that, too."
            ) { TLSBinding.give($0) { $0.details?.peerChain.dropFirst().first?.digest ?? "" } },
            LuaBinding(
                "serialNumberPeerCertificateIssuer", "", type: "(): string",
                doc: "The serial number of its issuer's certificate, if the client sent that, too."
            ) { TLSBinding.give($0) { $0.details?.peerChain.dropFirst().first?.serialNumber ?? "" } },
            LuaBinding(
                "urlEncodedPemEncodedPeerCertificate", "", type: "(): string",
                doc: "The certificate as PEM, percent-encoded."
            ) { TLSBinding.givePeer($0) { $0.urlEncodedPEM } },
            LuaBinding(
                "urlEncodedPemEncodedPeerCertificateChain", "", type: "(): string",
                doc: "The certificate and its chain as PEM, percent-encoded."
            ) { TLSBinding.give($0) { ($0.details?.peerChain ?? []).map(\.urlEncodedPEM).joined() } },
            LuaBinding(
                "validFromPeerCertificate", "", type: "(): integer",
                doc: "From when it is valid, in seconds since 1970; 0 without a certificate."
            ) { call in
                call.give(call.run?.connectionFacts?.tls?.details?.peerCertificate?.validFrom ?? 0)
                return MG_RETURN
            },
            LuaBinding(
                "expirationPeerCertificate", "", type: "(): integer",
                doc: "Until when it is valid, in seconds since 1970; 0 without a certificate."
            ) { call in
                call.give(call.run?.connectionFacts?.tls?.details?.peerCertificate?.expiration ?? 0)
                return MG_RETURN
            },
        ]
    }

    private static var peerLists: [LuaBinding] {
        [
            LuaBinding(
                "uriSanPeerCertificate", "", type: "(): string[]", doc: "The URIs among its alternative names."
            ) { TLSBinding.giveList($0) { $0.details?.peerCertificate?.uriNames } },
            LuaBinding(
                "dnsSansPeerCertificate", "", type: "(): string[]", doc: "The DNS names among its alternative names."
            ) { TLSBinding.giveList($0) { $0.details?.peerCertificate?.dnsNames } },
            LuaBinding(
                "oidsPeerCertificate", "", type: "(): string[]", doc: "The object identifiers of its extensions."
            ) { TLSBinding.giveList($0) { $0.details?.peerCertificate?.extensionOIDs } },
        ]
    }

    private static let parsedSubject: mg_leaf = { call in
        let isPresent = call.run?.connectionFacts?.tls?.details?.peerCertificate != nil
        call.give(isPresent ? call.run?.lend(.peerSubject) : nil)
        return MG_RETURN
    }

    // MARK: Results

    private static func give(_ call: BindingCall, _ read: (ConnectionFacts.TLS) -> String) -> mg_action {
        call.give(copyOf: call.run?.connectionFacts?.tls.map(read) ?? "")
        return MG_RETURN
    }

    private static func givePeer(_ call: BindingCall, _ read: (X509Facts) -> String) -> mg_action {
        give(call) { $0.details?.peerCertificate.map(read) ?? "" }
    }

    private static func giveList(_ call: BindingCall, _ read: (ConnectionFacts.TLS) -> [String]?) -> mg_action {
        let texts = call.run?.connectionFacts?.tls.flatMap(read) ?? []
        return call.give(.list(texts.map { .string($0) }))
    }
}

/// `parsedSubjectPeerCertificate()`.
enum ParsedSubjectBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.parsedSubject, name: "parsed subject",
            summary: "The parts of the subject of the client's certificate.", bindings: bindings)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "commonName", "", type: "(): string", doc: "The common name; empty without one."
            ) { call in
                call.give(copyOf: call.run?.connectionFacts?.tls?.details?.peerCertificate?.commonName ?? "")
                return MG_RETURN
            },
            LuaBinding(
                "organizationName", "", type: "(): string[]", doc: "The names of the organization."
            ) { call in
                let names = call.run?.connectionFacts?.tls?.details?.peerCertificate?.organizationNames ?? []
                return call.give(.list(names.map { .string($0) }))
            },
        ]
    }
}
