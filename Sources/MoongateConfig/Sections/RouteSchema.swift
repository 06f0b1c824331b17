/// The keys of a route as they stand in the file.
private struct RouteDraft {
    var name = ""
    var listeners: [String] = []
    var match: RouteMatch?
    var matches: [RouteMatch]?
    var policies: [PolicyEntry] = []
    var upstream: String?
    var upstreams: [WeightedUpstream]?
    var mirrors: [MirrorConfig] = []
    var pathParameters: PathParametersMode?
    var encodedSlash: EncodedSlashMode?
    var timeout: Duration = RouteConfig(name: "").timeout
    var idleTimeout: Duration = RouteConfig(name: "").idleTimeout
    var grpcTimeout = GRPCTimeoutConfig()
    var retry: RetryConfig?
    var hedge: HedgeConfig?
    var requestHeaders: HeaderEditsConfig?
    var responseHeaders: HeaderEditsConfig?
    var responseTrailers: HeaderEditsConfig?
    var rewrite: RewriteConfig?
    var metadata: [SettingValue.Entry] = []
    var filterContext: SettingValue?
}

extension ValueType<RouteConfig> {
    static var route: ValueType {
        let schema = MappingSchema(
            name: "route",
            summary:
                "Which requests go where, and through which policies. Of several routes that fit, the most specific"
                + " one wins, see [Routing](routing.md).",
            initial: RouteDraft(),
            alternatives: [
                .atMostOne(["match"], ["matches"]), .exactlyOne(["upstream"], ["upstreams"]),
                .atMostOne(["retry"], ["hedge"]),
            ],
            fields: [
                Field(
                    "name", \.name, .definition(of: .route), required: true,
                    "What logs and metrics call the route. Unique."),
                Field(
                    "listeners", \.listeners,
                    .list(
                        of: .reference(to: .listener), atLeast: 1, emptyHint: "leave it out for every listener",
                        identity: { $0 }),
                    "Names of the listeners that the route belongs to. Default: all."),
                Field("match", \.match, .match, absent: "every request", "What a request has to be."),
                Field(
                    "matches", \.matches, .list(of: .match, atLeast: 1, emptyHint: "leave it out for every request"),
                    "Several of them; one has to fit."),
                Field(
                    "policies", \.policies, .list(of: .policyEntry),
                    "Run in this order on requests and in reverse order on responses."),
                Field("upstream", \.upstream, .reference(to: .upstream), "The upstream that gets the requests."),
                Field(
                    "upstreams", \.upstreams, .list(of: .weightedUpstream, atLeast: 1, identity: { $0.name }),
                    "Several upstreams that share the requests by weight."),
                Field(
                    "mirror", \.mirrors, .list(of: .mirror, identity: { $0.upstream }),
                    "Upstreams that get copies of the requests, see [Routing](routing.md#mirroring)."),
                Field(
                    "path_parameters", \.pathParameters, .choice(), absent: "`refuse`",
                    "Requests whose path has a `;`, as it is or encoded. `allow`: they go on; parameters take no part in"
                        + " matching. See [Paths](routing.md#paths)."),
                Field(
                    "encoded_slash", \.encodedSlash, .choice(), absent: "`refuse`",
                    "Requests whose path has `%2F`. `keep`: they go on, and it stays encoded. Never for gRPC."),
                Field(
                    "timeout", \.timeout, .duration(.zero ... .seconds(86400)),
                    "Longest time from the request's head to the end of the response; `0s`: no limit. The client's"
                        + " `grpc-timeout` counts if it is shorter."),
                Field(
                    "idle_timeout", \.idleTimeout, .duration(.zero ... .seconds(86400)),
                    "Longest time without a byte of the request's or the response's body; `0s`: no limit."),
                Field(
                    "grpc_timeout", \.grpcTimeout, .grpcTimeout, "What counts in place of the client's `grpc-timeout`."),
                Field(
                    "retry", \.retry, .retry, absent: "only what the upstream cannot have seen is sent again",
                    "When a request is sent again, see [Timeouts and retries](timeouts-and-retries.md)."),
                Field(
                    "hedge", \.hedge, .hedge, absent: "one attempt at a time",
                    "Calls that are safe to repeat are sent several times, see"
                        + " [Hedging](timeouts-and-retries.md#hedging)."),
                Field(
                    "request_headers", \.requestHeaders, .headerEdits, absent: "no changes",
                    "Changes to what the upstream gets, made when all policies have run."),
                Field(
                    "response_headers", \.responseHeaders, .headerEdits, absent: "no changes",
                    "Changes to what the client gets, answers of the edge itself included."),
                Field(
                    "response_trailers", \.responseTrailers, .headerEdits, absent: "no changes",
                    "Changes to the trailers that the client gets. A gRPC response that has nothing but a head is made of"
                        + " trailers, too."),
                Field(
                    "rewrite", \.rewrite, .rewrite, absent: "no changes",
                    "Another path or authority for the upstream."),
                Field(
                    "metadata", \.metadata, .metadata,
                    "Values by namespace and key. `handle:metadata()` reads those under the name of the policy, else"
                        + " those under `envoy.filters.http.lua`."),
                Field(
                    "filter_context", \.filterContext, .settings, absent: "the settings of each policy",
                    "What `handle:filterContext()` gives every policy on this route, those of the listener included,"
                        + " in place of its own settings; `{}`: nothing."),
            ])
        return .mapping(schema, finish: finish)
    }

    private static func finish(_ draft: RouteDraft, _ mapping: YAMLMapping, _ decoding: inout Decoding) -> RouteConfig?
    {
        let weighted = draft.upstreams ?? draft.upstream.map { [WeightedUpstream(name: $0)] } ?? []
        if !weighted.isEmpty, weighted.allSatisfy({ $0.weight == 0 }) {
            decoding.report(
                mapping.location(of: "upstreams"), "every weight is 0, so no upstream gets a request",
                hint: "give at least one of them a weight above 0")
        }
        checkRewrite(draft, mapping, &decoding)
        var route = RouteConfig(
            name: draft.name, listeners: draft.listeners,
            matches: draft.matches ?? [draft.match ?? RouteMatch()],
            policies: draft.policies.filter { !$0.isDisabled }.map(\.reference),
            disabledPolicies: draft.policies.filter(\.isDisabled).map {
                DisabledPolicy(name: $0.reference.name, location: $0.reference.location)
            },
            upstreams: weighted, timeout: draft.timeout, idleTimeout: draft.idleTimeout, grpcTimeout: draft.grpcTimeout,
            retry: draft.retry, hedge: draft.hedge, requestHeaders: draft.requestHeaders,
            responseHeaders: draft.responseHeaders, responseTrailers: draft.responseTrailers,
            rewrite: draft.rewrite, metadata: draft.metadata, filterContext: draft.filterContext,
            location: mapping.location)
        route.mirrors = draft.mirrors
        route.pathParameters = draft.pathParameters
        route.encodedSlash = draft.encodedSlash
        return route
    }
}

extension ValueType<RouteConfig> {
    /// A prefix can only be replaced where there is one.
    private static func checkRewrite(_ draft: RouteDraft, _ mapping: YAMLMapping, _ decoding: inout Decoding) {
        guard case .prefix = draft.rewrite?.path else { return }
        let hasOther = (draft.matches ?? [draft.match ?? RouteMatch()]).contains { match in
            switch match.path {
            case .any, .prefix, .service: false
            case .exact, .method, .anyServiceMethod: true
            }
        }
        guard hasOther else { return }
        decoding.report(
            mapping.location(of: "rewrite"), "rewrite.path_prefix in a route whose matches are not all by prefix",
            hint: "match by path_prefix or service, or rewrite the whole path")
    }
}

extension ValueType<WeightedUpstream> {
    fileprivate static var weightedUpstream: ValueType {
        .mapping(
            MappingSchema(
                name: "weighted upstream",
                summary: "An upstream's share of a route's requests: its weight out of the sum of all weights.",
                initial: WeightedUpstream(name: ""),
                fields: [
                    Field("name", \.name, .reference(to: .upstream), required: true, "Name of the upstream."),
                    Field("weight", \.weight, .integer(0...1_000_000), "Its share; 0: none."),
                ]))
    }
}
