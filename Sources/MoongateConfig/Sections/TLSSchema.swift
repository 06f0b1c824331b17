extension ValueType<ListenerTLSConfig> {
    static var listenerTLS: ValueType {
        .mapping(
            MappingSchema(
                name: "tls",
                summary: "TLS of a listener. [TLS](tls.md) tells more.",
                initial: ListenerTLSConfig(certificates: []),
                fields: [
                    Field(
                        "certificates", \.certificates, .list(of: .certificate, atLeast: 1), required: true,
                        "Chosen by the name that the client asks for (SNI). The first one serves clients whose name"
                            + " fits none."),
                    Field(
                        "client_certificates", \.clientCertificates, .clientCertificates,
                        absent: "not asked for", "What clients have to show."),
                ] + TLSParameterFields.fields(\.parameters))
        ) { draft, mapping, decoding in
            TLSParameterFields.check(draft.parameters, mapping, &decoding)
            return draft
        }
    }
}

extension ValueType<UpstreamTLSConfig> {
    private struct Draft {
        var tls = UpstreamTLSConfig()
        var certificate: String?
        var key: String?
        var skipsVerification: Void?
    }

    static var upstreamTLS: ValueType {
        let schema = MappingSchema(
            name: "upstream tls",
            summary: "TLS towards the endpoints of an upstream. `{}` is enough for servers with a certificate that the"
                + " system trusts. [TLS](tls.md#to-upstreams) tells more.",
            initial: Draft(),
            alternatives: [
                .atMostOne(["insecure_skip_verify"], ["ca"]), .atMostOne(["insecure_skip_verify"], ["crl"]),
                .atMostOne(["insecure_skip_verify"], ["names"]),
            ],
            fields: [
                Field(
                    "ca", \.tls.trust, .trust,
                    "PEM file with the certificates of the authorities that are trusted, or `system` for those of the"
                        + " machine."),
                Field(
                    "crl", \.tls.revocationLists, .path, absent: "none",
                    "PEM file with the lists of revoked certificates, one of each authority of a chain."),
                Field(
                    "server_name", \.tls.serverName, .serverName, absent: "the endpoint's host",
                    "The name that the servers are asked for (SNI) and that their certificate must be for."),
                Field(
                    "names", \.tls.names, .list(of: .peerName, identity: \.text),
                    "If there are any, the certificate must be for one of these and no longer for `server_name`:"
                        + " DNS names (`*.` stands for one label), URIs, IP addresses."),
                Field(
                    "certificate", \.certificate, .path, absent: "none",
                    "PEM file with the certificate that is shown to servers that ask for one, followed by its chain."),
                Field("key", \.key, .path, absent: "none", "PEM file with the certificate's private key."),
                Field(
                    "insecure_skip_verify", \.skipsVerification,
                    .alwaysTrue(insteadOfFalse: "remove the key: certificates are verified without it"),
                    absent: "certificates are verified",
                    "Takes any certificate. Whoever can answer in a server's place can then read everything."),
            ] + TLSParameterFields.fields(\.tls.parameters))
        return .mapping(schema) { draft, mapping, decoding in
            TLSParameterFields.check(draft.tls.parameters, mapping, &decoding)
            var tls = draft.tls
            tls.skipsVerification = draft.skipsVerification != nil
            if let certificate = draft.certificate, let key = draft.key {
                tls.certificate = CertificateConfig(certificate: certificate, key: key)
            } else if draft.certificate != nil || draft.key != nil {
                let (there, missing) = draft.key == nil ? ("certificate", "key") : ("key", "certificate")
                decoding.report(
                    mapping.location(of: there), "\(quoted(there)) without \(quoted(missing))",
                    hint: "a certificate is of no use without its key, nor a key without its certificate")
            }
            return tls
        }
    }
}

/// The keys that both sides of TLS have.
private enum TLSParameterFields {
    static func fields<Draft>(_ path: WritableKeyPath<Draft, TLSParameters>) -> [Field<Draft>] {
        [
            Field(
                "minimum_version", path.appending(path: \TLSParameters.minimumVersion), .version,
                "The oldest version of TLS that is accepted."),
            Field(
                "maximum_version", path.appending(path: \TLSParameters.maximumVersion), .version,
                "The newest version of TLS that is accepted."),
            Field(
                "ciphers", path.appending(path: \TLSParameters.ciphers),
                .list(of: .cipher, atLeast: 1, identity: \.rawValue),
                "Cipher suites in order of preference, by OpenSSL's or the IANA's names. A version of TLS of which none"
                    + " is named keeps its own. Default: all with ephemeral keys and AEAD."),
            Field(
                "curves", path.appending(path: \TLSParameters.curves),
                .list(of: .curve, atLeast: 1, identity: \.rawValue),
                "Curves for the key exchange in order of preference. Default: `X25519`, `P-256`, `P-384`."),
        ]
    }

    static func check(_ parameters: TLSParameters, _ mapping: YAMLMapping, _ decoding: inout Decoding) {
        if parameters.minimumVersion == .v1_3 && parameters.maximumVersion == .v1_2 {
            let key = mapping.has("maximum_version") ? "maximum_version" : "minimum_version"
            decoding.report(
                mapping.value(of: key)?.location ?? mapping.location,
                "minimum_version 1.3 is above maximum_version 1.2")
        }
    }
}

extension ValueType<CertificateConfig> {
    fileprivate static var certificate: ValueType {
        .mapping(
            MappingSchema(
                name: "certificate",
                summary: "A certificate with its key. Both files are read again when they change.",
                initial: CertificateConfig(certificate: "", key: ""),
                fields: [
                    Field(
                        "certificate", \.certificate, .path, required: true,
                        "PEM file with the certificate, followed by its chain."),
                    Field("key", \.key, .path, required: true, "PEM file with the private key."),
                ]))
    }
}

extension ValueType<ClientCertificatesConfig> {
    fileprivate static var clientCertificates: ValueType {
        let schema = MappingSchema(
            name: "client certificates",
            summary: "What a listener wants of its clients' certificates. [TLS](tls.md#client-certificates) tells"
                + " more.",
            initial: ClientCertificatesConfig(mode: .required, authorities: nil),
            fields: [
                Field(
                    "mode", \.mode, .choice(),
                    "`required`: no connection without a good certificate. `optional`: a client may have none, but none"
                        + " that is bad. `request`: also a bad one is let in; policies can tell."),
                Field(
                    "ca", \.authorities, .path, absent: "none",
                    "PEM file with the certificates of the authorities that are trusted. Required but for `request`."),
                Field(
                    "crl", \.revocationLists, .path, absent: "none",
                    "PEM file with the lists of revoked certificates, one of each authority of a chain."),
                Field(
                    "depth", \.depth, .integer(0...100),
                    "How many certificates may stand between a client's and its authority's."),
                Field(
                    "names", \.names, .list(of: .peerName, identity: \.text),
                    "If there are any, the certificate must be for one of these: DNS names (`*.` stands for one"
                        + " label), URIs, IP addresses."),
            ])
        return .mapping(schema) { draft, mapping, decoding in
            if draft.mode != .request && !mapping.has("ca") {
                decoding.report(
                    mapping.location, "client certificates without \"ca\"",
                    hint: "name the authorities, or write mode: request to let any certificate in")
            }
            return draft
        }
    }
}

extension ValueType<ForwardClientCertificateConfig> {
    /// The mode alone, or a mapping with details.
    static var forwardClientCertificate: ValueType {
        let mode = ValueType<ForwardClientCertificateConfig.Mode>.choice()
        let full: ValueType = .mapping(
            MappingSchema(
                name: "forward client certificate",
                summary: "What becomes of `x-forwarded-client-cert`, as in Envoy. In short: the mode alone.",
                initial: ForwardClientCertificateConfig(),
                fields: [
                    Field(
                        "mode", \.mode, mode,
                        "`sanitize`: what the client sent is removed. `sanitize_set`: it is replaced by the client's"
                            + " certificate. `append_forward`: that is appended to it. `forward_only`: what the client"
                            + " sent is left if it has a good certificate. `always_forward_only`: it is always left."),
                    Field(
                        "details", \.details, .details,
                        "What is told of the certificate besides its hash and the URI of the listener's own."),
                ]))
        return ValueType(.either([mode.shape, full.shape])) { node, decoding in
            if case .mapping = node.content { return full.read(node, &decoding) }
            return mode.read(node, &decoding).map { ForwardClientCertificateConfig(mode: $0) }
        }
    }
}

extension ValueType<[ForwardClientCertificateConfig.Detail]> {
    fileprivate static var details: ValueType {
        let list: ValueType = .list(of: .choice(), identity: \.rawValue)
        return ValueType(list.shape, write: { "[\($0.map(\.rawValue).joined(separator: ", "))]" }, read: list.read)
    }
}

extension ValueType<TLSVersion> {
    fileprivate static var version: ValueType {
        .text(TLSSyntax.version, expected: "1.2 or 1.3", write: { $0.rawValue }) { text, _ throws(SyntaxFault) in
            try TLSSyntax.parseVersion(text)
        }
    }
}

extension ValueType<TLSCipher> {
    fileprivate static var cipher: ValueType {
        .text(TLSSyntax.cipher, expected: "a cipher suite") { text, _ throws(SyntaxFault) in
            try TLSSyntax.parseCipher(text)
        }
    }
}

extension ValueType<TLSCurve> {
    fileprivate static var curve: ValueType {
        .text(TLSSyntax.curve, expected: "a curve") { text, _ throws(SyntaxFault) in try TLSSyntax.parseCurve(text) }
    }
}

extension ValueType<PeerName> {
    fileprivate static var peerName: ValueType {
        .text(TLSSyntax.peerName, expected: "a name") { text, _ throws(SyntaxFault) in
            try TLSSyntax.parsePeerName(text)
        }
    }
}

extension ValueType<UpstreamTLSConfig.Trust> {
    fileprivate static var trust: ValueType {
        .text(TLSSyntax.authorities, expected: "system or a path", write: { $0 == .system ? "system" : nil }) {
            text, decoding throws(SyntaxFault) in try TLSSyntax.parseTrust(text, folder: decoding.folder)
        }
    }
}

extension ValueType<String> {
    fileprivate static var serverName: ValueType {
        .text(TLSSyntax.serverName, expected: "a host name") { text, _ throws(SyntaxFault) in
            try TLSSyntax.parseServerName(text)
        }
    }
}
