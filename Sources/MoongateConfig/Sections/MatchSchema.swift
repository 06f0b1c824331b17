/// The keys of a match as they stand in the file.
private struct MatchDraft {
    var hosts: [String] = []
    var service: String?
    var method: String?
    var path: String?
    var pathPrefix: String?
    var headers: [HeaderMatch] = []

    var pathMatch: PathMatch {
        if let path { return .exact(path) }
        if let pathPrefix { return .prefix(pathPrefix) }
        switch (service, method) {
        case (let service?, let method?): return .method(service: service, method: method)
        case (let service?, nil): return .service(service)
        case (nil, let method?): return .anyServiceMethod(method)
        case (nil, nil): return .any
        }
    }
}

extension ValueType<RouteMatch> {
    static var match: ValueType {
        let schema = MappingSchema(
            name: "match",
            summary: "What a request has to be. One of the hosts has to fit, and everything else at once.",
            initial: MatchDraft(),
            alternatives: [.atMostOne(["path"], ["path_prefix"], ["service", "method"])],
            fields: [
                Field(
                    "hosts", \.hosts,
                    .list(of: .host, atLeast: 1, emptyHint: "leave it out for every host", identity: { $0 }),
                    "Hosts without port: `api.example.com`, `\"*.example.com\"` (one or more labels in front), `10.0.0.1`,"
                        + " `\"::1\"`. Default: every host."),
                Field("service", \.service, .service, "gRPC service with its package: `helloworld.Greeter`."),
                Field(
                    "method", \.method, .method,
                    "gRPC method: `SayHello`. Without `service`: the method of this name of any service."),
                Field("path", \.path, .requestPath, "The whole path, without the query."),
                Field(
                    "path_prefix", \.pathPrefix, .requestPath,
                    "Whole elements from the start of the path: `/v2` matches `/v2` and `/v2/x`, not `/v2x`."),
                Field(
                    "headers", \.headers,
                    .list(of: .headerMatch, atLeast: 1, emptyHint: "leave it out for any headers"),
                    "Predicates on headers; all have to hold."),
            ])
        return .mapping(schema) { draft, mapping, _ in
            var match = RouteMatch(hosts: draft.hosts, path: draft.pathMatch, headers: draft.headers)
            match.pathLocation = (mapping.value(of: "path") ?? mapping.value(of: "path_prefix"))?.location
            return match
        }
    }
}

/// The keys of a header predicate as they stand in the file.
private struct HeaderDraft {
    var name = ""
    var exact: String?
    var prefix: String?
    var regex: String?
    var present: Void?
    var absent: Void?

    var predicate: HeaderMatch.Predicate? {
        if let exact { return .exact(exact) }
        if let prefix { return .prefix(prefix) }
        if let regex { return .regex(regex) }
        if present != nil { return .present }
        return absent == nil ? nil : .absent
    }
}

extension ValueType<HeaderMatch> {
    fileprivate static var headerMatch: ValueType {
        let schema = MappingSchema(
            name: "header match",
            summary:
                "A predicate on one header. The values of a header that is sent several times are joined with `,`.",
            initial: HeaderDraft(),
            alternatives: [.exactlyOne(["exact"], ["prefix"], ["regex"], ["present"], ["absent"])],
            fields: [
                Field("name", \.name, .headerName, required: true, "Name of the header; case does not matter."),
                Field("exact", \.exact, .headerValue(MatchSyntax.parseHeaderValue), "The whole value."),
                Field(
                    "prefix", \.prefix, .headerValue(MatchSyntax.parseNonEmptyHeaderValue), "The start of the value."),
                Field(
                    "regex", \.regex, .headerValue(MatchSyntax.parseNonEmptyHeaderValue),
                    "A regular expression (RE2 syntax) that has to match the whole value."),
                Field(
                    "present", \.present,
                    .alwaysTrue(insteadOfFalse: "write absent: true for a header that is not there"),
                    "The header is there, with any value."),
                Field(
                    "absent", \.absent, .alwaysTrue(insteadOfFalse: "write present: true for a header that is there"),
                    "The header is not there."),
            ])
        return .mapping(schema) { draft, _, _ in
            draft.predicate.map { HeaderMatch(name: draft.name, predicate: $0) }
        }
    }
}

extension ValueType<String> {
    static var host: ValueType {
        .text(MatchSyntax.host, expected: "a host") { text, _ throws(SyntaxFault) in try MatchSyntax.parseHost(text) }
    }
    fileprivate static var service: ValueType {
        .text(MatchSyntax.service, expected: "a gRPC service") { text, _ throws(SyntaxFault) in
            try MatchSyntax.parseService(text)
        }
    }
    fileprivate static var method: ValueType {
        .text(MatchSyntax.method, expected: "a gRPC method") { text, _ throws(SyntaxFault) in
            try MatchSyntax.parseMethod(text)
        }
    }
    static var requestPath: ValueType {
        .text(MatchSyntax.path, expected: "a path such as /v2") { text, _ throws(SyntaxFault) in
            try MatchSyntax.parsePath(text)
        }
    }
    fileprivate static func headerValue(_ parse: @escaping (String) throws(SyntaxFault) -> String) -> ValueType {
        .text(MatchSyntax.headerValue, expected: "the text of a value") { text, _ throws(SyntaxFault) in
            try parse(text)
        }
    }
}
