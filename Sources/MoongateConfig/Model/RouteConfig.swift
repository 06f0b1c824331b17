/// Which requests go where, and through which policies.
public struct RouteConfig: Sendable, Equatable {
    public var name: String
    /// Names of the listeners the route belongs to; empty means all.
    public var listeners: [String]
    /// ORed. A route without `match` has one that matches every request.
    public var matches: [RouteMatch]
    /// Run in this order on requests, in reverse order on responses.
    public var policies: [PolicyReference]
    /// Policies of the listener that do not run on this route's requests.
    public var disabledPolicies: [DisabledPolicy]
    /// At least one; requests are split by weight.
    public var upstreams: [WeightedUpstream]
    /// Upstreams that get copies of the requests.
    public var mirrors: [MirrorConfig] = []
    /// `nil`: `refuse`.
    public var pathParameters: PathParametersMode?
    /// `nil`: `refuse`.
    public var encodedSlash: EncodedSlashMode?
    /// Longest time from the request's head to the response's end; `.zero` means none. The smaller of this
    /// and the client's `grpc-timeout` counts.
    public var timeout: Duration
    /// Longest time without a byte of either body; `.zero` means none.
    public var idleTimeout: Duration
    public var grpcTimeout: GRPCTimeoutConfig
    /// `nil`: only what the upstream cannot have seen is sent again.
    public var retry: RetryConfig?
    /// Excludes `retry`.
    public var hedge: HedgeConfig?
    /// Changes to what the upstream and the client get, behind all policies; `nil`: none.
    public var requestHeaders: HeaderEditsConfig?
    public var responseHeaders: HeaderEditsConfig?
    public var responseTrailers: HeaderEditsConfig?
    public var rewrite: RewriteConfig?
    /// Values by namespace and key, for policies that read them.
    public var metadata: [SettingValue.Entry]
    /// What `handle:filterContext()` gives on this route, in place of the policies' settings; `nil`: their settings.
    public var filterContext: SettingValue?
    /// Where the route stands in the file, for messages.
    public var location: SourceLocation

    public init(
        name: String, listeners: [String] = [], matches: [RouteMatch] = [RouteMatch()],
        policies: [PolicyReference] = [], disabledPolicies: [DisabledPolicy] = [],
        upstreams: [WeightedUpstream] = [], timeout: Duration = .zero, idleTimeout: Duration = .zero,
        grpcTimeout: GRPCTimeoutConfig = .init(), retry: RetryConfig? = nil, hedge: HedgeConfig? = nil,
        requestHeaders: HeaderEditsConfig? = nil, responseHeaders: HeaderEditsConfig? = nil,
        responseTrailers: HeaderEditsConfig? = nil, rewrite: RewriteConfig? = nil,
        metadata: [SettingValue.Entry] = [], filterContext: SettingValue? = nil, location: SourceLocation = .unknown
    ) {
        self.name = name
        self.listeners = listeners
        self.matches = matches
        self.policies = policies
        self.disabledPolicies = disabledPolicies
        self.upstreams = upstreams
        self.timeout = timeout
        self.idleTimeout = idleTimeout
        self.grpcTimeout = grpcTimeout
        self.retry = retry
        self.hedge = hedge
        self.requestHeaders = requestHeaders
        self.responseHeaders = responseHeaders
        self.responseTrailers = responseTrailers
        self.rewrite = rewrite
        self.metadata = metadata
        self.filterContext = filterContext
        self.location = location
    }
}

public struct WeightedUpstream: Sendable, Equatable {
    public var name: String
    /// Share = weight / sum of weights; 0 means none.
    public var weight: Int
    public init(name: String, weight: Int = 1) {
        self.name = name
        self.weight = weight
    }
}

/// One alternative of a route: hosts are ORed, everything else is ANDed.
public struct RouteMatch: Sendable, Equatable {
    /// Exact (`api.example.com`, `10.0.0.1`, `::1`) or `*.suffix` (any number of leading labels, not the bare
    /// suffix). Lower case, without a port. Empty: every host.
    public var hosts: [String]
    public var path: PathMatch
    public var headers: [HeaderMatch]
    /// The place of `path` or `path_prefix` in the file, for messages.
    public var pathLocation: SourceLocation?
    public init(hosts: [String] = [], path: PathMatch = .any, headers: [HeaderMatch] = []) {
        self.hosts = hosts
        self.path = path
        self.headers = headers
    }
}

/// A path rule. Canonical paths are compared, without the query.
public enum PathMatch: Sendable, Equatable {
    case any
    /// gRPC `/service/…`.
    case service(String)
    /// gRPC `/service/method`.
    case method(service: String, method: String)
    /// Any service's `/…/method` (implementation-specific in GRPCRoute).
    case anyServiceMethod(String)
    case exact(String)
    /// By path element: `/v2` matches `/v2` and `/v2/x`, not `/v2x`.
    case prefix(String)
}

/// A predicate on one header. Names are lower case; values of a repeated header are joined with `,`.
public struct HeaderMatch: Sendable, Equatable {
    public enum Predicate: Sendable, Equatable {
        case exact(String)
        case prefix(String)
        /// RE2 syntax; the whole value must match.
        case regex(String)
        case present
        case absent
    }
    public var name: String
    public var predicate: Predicate
    public init(name: String, predicate: Predicate) {
        self.name = name
        self.predicate = predicate
    }
}
