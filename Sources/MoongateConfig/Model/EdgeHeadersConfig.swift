/// What the edge tells upstreams about where a request came from, and whom it believes about that.
public struct ForwardedConfig: Sendable, Equatable {
    /// What becomes of `x-forwarded-for`.
    public enum AddressMode: String, Sendable, Equatable, CaseIterable {
        /// The peer's address behind what the request has.
        case append
        /// The client's address alone.
        case replace
        /// None is written, and one from a peer that is not trusted goes.
        case off
        /// As the client sent it.
        case pass
    }
    /// What becomes of `x-forwarded-proto`, `x-forwarded-host` and `forwarded`.
    public enum Mode: String, Sendable, Equatable, CaseIterable {
        /// Written, unless a trusted proxy in front has done so. `forwarded` is a list, and gets an element more.
        case set
        /// None is written, and one from a peer that is not trusted goes.
        case off
        /// As the client sent it.
        case pass
    }
    /// The most proxies that a request is followed through.
    public static let mostHops = 32

    /// Addresses and CIDR blocks of the proxies that are believed; empty: nobody is.
    public var trusted: [String]
    /// How many of them a request has passed: the address of the client is the one so many places from the end of
    /// `x-forwarded-for`. 0: the last one there that is not among `trusted`.
    public var trustedHops: Int
    public var xForwardedFor: AddressMode
    public var xForwardedProto: Mode
    public var xForwardedHost: Mode
    /// RFC 7239.
    public var forwarded: Mode
    public init(
        trusted: [String] = [], trustedHops: Int = 0, xForwardedFor: AddressMode = .append,
        xForwardedProto: Mode = .set,
        xForwardedHost: Mode = .off, forwarded: Mode = .off
    ) {
        self.trusted = trusted
        self.trustedHops = trustedHops
        self.xForwardedFor = xForwardedFor
        self.xForwardedProto = xForwardedProto
        self.xForwardedHost = xForwardedHost
        self.forwarded = forwarded
    }
}

/// The treatment of request headers whose names have underscores. Servers that hand headers over in variables (CGI, WSGI) take
/// `x_user` for `x-user`, and nobody has looked at that.
public enum UnderscoreMode: String, Sendable, Equatable, CaseIterable {
    /// They are removed.
    case drop
    /// They pass, but for those that are spelt like headers that the edge or a policy writes or removes.
    case allow
    /// A request with one is refused.
    case refuse
}

/// What becomes of `x-request-id`.
public enum RequestIDMode: String, Sendable, Equatable, CaseIterable {
    /// A new one for every request, whatever the client sent.
    case replace
    /// The client's, or a new one where it sent none.
    case keep
    /// As the client sent it.
    case off
}

/// Changes to one list of headers, made in this order: remove, set, add.
public struct HeaderEditsConfig: Sendable, Equatable {
    public struct Field: Sendable, Equatable {
        /// In lower case.
        public var name: String
        public var value: HeaderTemplate
        public init(name: String, value: HeaderTemplate) {
            self.name = name
            self.value = value
        }
    }
    /// In place of all fields of the name.
    public var set: [Field]
    /// Beside those that are there.
    public var add: [Field]
    /// Names in lower case.
    public var remove: [String]
    public init(set: [Field] = [], add: [Field] = [], remove: [String] = []) {
        self.set = set
        self.add = add
        self.remove = remove
    }
}

/// The value of a header with places that each request fills in.
public struct HeaderTemplate: Sendable, Equatable {
    public enum Part: Sendable, Equatable {
        case text(String)
        /// The client's address without a port.
        case clientAddress
        case requestID
        /// Names in the configuration.
        case listener, route, upstream
        /// The value of the request's header of this name (lower case); nothing if there is none.
        case header(String)
    }
    public var parts: [Part]
    public init(_ parts: [Part]) { self.parts = parts }
}

/// How path and authority change on the way to the upstream.
public struct RewriteConfig: Sendable, Equatable {
    /// Paths change without their query.
    public enum Path: Sendable, Equatable {
        /// The whole path.
        case whole(String)
        /// In place of the prefix by which the route was chosen.
        case prefix(String)
        /// Every match of `pattern` (RE2) becomes `substitution`, in which `\1` to `\9` are its groups.
        case pattern(String, substitution: String)
    }
    public var path: Path?
    public enum Authority: Sendable, Equatable {
        case literal(String)
        /// The endpoint's host as the configuration names it.
        case endpoint
    }
    /// `:authority` for the upstream.
    public var authority: Authority?
    /// The place of the new path in the file, for messages.
    public var pathLocation: SourceLocation?
    public init(path: Path? = nil, authority: Authority? = nil) {
        self.path = path
        self.authority = authority
    }
}
