extension ValueType<ForwardedConfig> {
    static var forwarded: ValueType {
        let schema = MappingSchema(
            name: "forwarded",
            summary:
                "What upstreams are told about where a request came from, and whom the edge believes about that. `set` writes"
                + " a header unless a trusted proxy in front has done so, `off` writes none and removes those of peers that"
                + " are not trusted, `pass` leaves what the client sent. See [Headers](headers.md).",
            initial: ForwardedConfig(),
            fields: [
                Field(
                    "trusted", \.trusted, .list(of: .addressBlock, atLeast: 1, identity: { $0 }),
                    "Addresses and CIDR blocks of the proxies in front that are believed. Nobody else is, whatever"
                        + " `trusted_hops` says. `[0.0.0.0/0, \"::/0\"]`: everybody who can reach the listener."),
                Field(
                    "trusted_hops", \.trustedHops, .integer(0...ForwardedConfig.mostHops),
                    "How many proxies a request of a trusted peer has passed. The client's address is the one so many places"
                        + " from the end of the `x-forwarded-for` that came; 0: the last one there that is not in"
                        + " `trusted`. Above 0, `trusted` must say which peers are believed."),
                Field(
                    "x_forwarded_for", \.xForwardedFor, .choice(),
                    "`append`: the peer's address behind those that are there; `replace`: the client's address alone."),
                Field("x_forwarded_proto", \.xForwardedProto, .choice(), "`http` or `https`, as the client speaks."),
                Field("x_forwarded_host", \.xForwardedHost, .choice(), "The authority that the client asked for."),
                Field(
                    "forwarded", \.forwarded, .choice(),
                    "The same in one header (RFC 7239), behind the elements of trusted proxies."),
            ])
        return .mapping(schema) { draft, mapping, decoding in
            if draft.trustedHops > 0 && !mapping.has("trusted") {
                decoding.report(
                    mapping.location(of: "trusted_hops"), "trusted_hops without \"trusted\"",
                    hint:
                        "say which proxies are believed, such as trusted: [10.0.0.0/8]; to believe everybody who can reach"
                        + " the listener, as earlier versions did, add trusted: [0.0.0.0/0, \"::/0\"]")
            }
            if draft.trustedHops == 0, let everybody = draft.trusted.first(where: { $0.hasSuffix("/0") }) {
                decoding.report(
                    mapping.location(of: "trusted"), "\(quoted(everybody)) without \"trusted_hops\"",
                    hint:
                        "every element of x-forwarded-for is trusted then, and the client may write the first: say how many"
                        + " proxies there are, such as trusted_hops: 1")
            }
            return draft
        }
    }
}

extension ValueType<HeaderEditsConfig> {
    static var headerEdits: ValueType {
        .mapping(
            MappingSchema(
                name: "header edits",
                summary: "Changes to headers: first `remove`, then `set`, then `add`. Values may hold"
                    + " `%{client_address}`, `%{request_id}`, `%{listener}`, `%{route}`, `%{upstream}` and"
                    + " `%{header:NAME}` (of the request); `%%` is a percent sign.",
                initial: HeaderEditsConfig(),
                fields: [
                    Field("set", \.set, .headerFields, "Values by name, in place of those that are there."),
                    Field("add", \.add, .headerFields, "Values by name, beside those that are there."),
                    Field(
                        "remove", \.remove, .list(of: .editedHeader, identity: { $0 }),
                        "Names of headers that go, with all their values."),
                ]))
    }
}

extension ValueType<[HeaderEditsConfig.Field]> {
    fileprivate static var headerFields: ValueType {
        .dictionary(
            of: .headerField, keys: MatchSyntax.headerName,
            each: { entry, decoding in
                let key = YAMLNode(
                    location: entry.keyLocation, content: .scalar(YAMLScalar(text: entry.key, isPlain: false)))
                return ValueType<String>.editedHeader.read(key, &decoding) != nil
            },
            name: { field, name in field.name = name.lowercased() })
    }
}

extension ValueType<HeaderEditsConfig.Field> {
    fileprivate static var headerField: ValueType {
        .text(HeaderTemplateSyntax.shape, expected: "the text of a value") { text, _ throws(SyntaxFault) in
            HeaderEditsConfig.Field(name: "", value: try HeaderTemplateSyntax.parse(text))
        }
    }
}

/// The keys of a rewrite as they stand in the file.
private struct RewriteDraft {
    struct Pattern {
        var pattern = ""
        var substitution = ""
    }
    var path: String?
    var pathPrefix: String?
    var pathRegex: Pattern?
    var authority: String?
    var authorityOfEndpoint: Void?

    var newPath: RewriteConfig.Path? {
        if let path { return .whole(path) }
        if let pathPrefix { return .prefix(pathPrefix) }
        return pathRegex.map { .pattern($0.pattern, substitution: $0.substitution) }
    }
}

extension ValueType<RewriteConfig> {
    static var rewrite: ValueType {
        let schema = MappingSchema(
            name: "rewrite",
            summary: "How path and authority change on the way to the upstream, behind the policies. The query stays.",
            initial: RewriteDraft(),
            alternatives: [
                .atMostOne(["path"], ["path_prefix"], ["path_regex"]),
                .atMostOne(["authority"], ["authority_of_endpoint"]),
            ],
            fields: [
                Field("path", \.path, .requestPath, "The whole path: `/pkg.v2.Service/Method`."),
                Field(
                    "path_prefix", \.pathPrefix, .requestPath,
                    "In place of the `path_prefix` or `/service` by which the route was chosen; `/`: nothing. All"
                        + " matches of the route must have one, or none: then it is put in front."),
                Field("path_regex", \.pathRegex, .pathPattern, "By a regular expression."),
                Field(
                    "authority", \.authority, .authority,
                    "The `:authority` that the upstream gets: `api.internal:8080`."),
                Field(
                    "authority_of_endpoint", \.authorityOfEndpoint,
                    .alwaysTrue(insteadOfFalse: "leave it out to keep the client's"),
                    "The upstream gets the host of its endpoint, as the configuration names it, in `:authority`."),
            ])
        return .mapping(schema) { draft, mapping, decoding in
            let path = draft.newPath
            let authority: RewriteConfig.Authority? =
                draft.authority.map { .literal($0) } ?? draft.authorityOfEndpoint.map { .endpoint }
            if path == nil, authority == nil {
                decoding.report(mapping.location, "rewrite changes nothing", hint: "give a path or an authority")
            }
            var rewrite = RewriteConfig(path: path, authority: authority)
            rewrite.pathLocation =
                ["path", "path_prefix", "path_regex"].compactMap { mapping.value(of: $0) }.first?
                .location
            return rewrite
        }
    }
}

extension ValueType<RewriteDraft.Pattern> {
    fileprivate static var pathPattern: ValueType {
        .mapping(
            MappingSchema(
                name: "path pattern",
                summary: "Every match of the pattern in the path becomes the substitution.",
                initial: RewriteDraft.Pattern(),
                fields: [
                    Field("pattern", \.pattern, .pattern, required: true, "A regular expression (RE2 syntax)."),
                    Field(
                        "substitution", \.substitution, .substitution, required: true,
                        "What stands in its place; `\\1` to `\\9` are the groups, `\\0` is the match."),
                ]))
    }
}

extension ValueType<String> {
    static var editedHeader: ValueType {
        .text(MatchSyntax.headerName, expected: "the name of a header") { text, _ throws(SyntaxFault) in
            try HeaderTemplateSyntax.parseName(text)
        }
    }

    fileprivate static var pattern: ValueType {
        .text(MatchSyntax.headerValue, expected: "a regular expression") { text, _ throws(SyntaxFault) in
            guard !text.isEmpty else { throw SyntaxFault.plain("the pattern is empty") }
            return text
        }
    }

    fileprivate static var substitution: ValueType {
        .text(MatchSyntax.headerValue, expected: "the text that is put in place") { text, _ throws(SyntaxFault) in
            guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "?") }) else {
                throw SyntaxFault.plain(
                    "the substitution has characters that no path can have", hint: "write them as %XX")
            }
            return text
        }
    }

    fileprivate static var authority: ValueType {
        let shape = TextShape(name: "authority", pattern: "^[!-.0-?A-~]+$").shown
        return .text(shape, expected: "a host, with a port or without") { text, _ throws(SyntaxFault) in
            let isVisible = text.utf8.allSatisfy { (0x21...0x7E).contains($0) && !"/@#?".utf8.contains($0) }
            guard !text.isEmpty, text.utf8.count <= 261, isVisible else {
                throw SyntaxFault("\(quoted(text)) is no authority", hint: "write a host, with a port or without")
            }
            return text
        }
    }
}
