/// An address on which clients are accepted.
public struct ListenerConfig: Sendable, Equatable {
    /// Unique; the address as written if the file gives no name.
    public var name: String
    public var address: SocketAddressConfig
    /// `nil`: cleartext HTTP/2 with prior knowledge.
    public var tls: ListenerTLSConfig?
    /// `nil`: connections speak for themselves.
    public var proxyProtocol: ProxyProtocolConfig?
    /// `nil`: `sanitize`, what clients send is removed.
    public var forwardClientCertificate: ForwardClientCertificateConfig?
    /// Run before a route is chosen, on every request of this listener.
    public var policies: [PolicyReference]
    /// `SETTINGS_MAX_CONCURRENT_STREAMS` towards clients.
    public var maxConcurrentStreams: Int
    /// Largest request header list in bytes (RFC 9113 §6.5.2: name + value + 32 per field).
    public var maxHeaderBytes: Int
    /// Most fields of a request's head or trailers.
    public var maxHeaderFields: Int
    /// `nil`: as `ListenerConnectionConfig` begins.
    public var connection: ListenerConnectionConfig?
    /// `nil`: none.
    public var limits: ListenerLimitsConfig?
    /// `nil`: as `ForwardedConfig` begins.
    public var forwarded: ForwardedConfig?
    /// `nil`: `drop`.
    public var headersWithUnderscores: UnderscoreMode?
    /// `nil`: `off`.
    public var requestID: RequestIDMode?
    /// Names in lower case of request headers that no hop may put into a compression table (RFC 7541 §7.1), beyond
    /// those that always are.
    public var neverIndex: [String]
    /// Values by namespace and key, for policies that read them.
    public var metadata: [SettingValue.Entry]
    /// `nil`: `strict`.
    public var paths: PathMode?
    /// `grpc.health.v1.Health/Check` is answered here, and not by an upstream.
    public var grpcHealth = false
    /// Where the listener stands in the file, for messages.
    public var location: SourceLocation

    public init(
        name: String, address: SocketAddressConfig, tls: ListenerTLSConfig? = nil,
        proxyProtocol: ProxyProtocolConfig? = nil, forwardClientCertificate: ForwardClientCertificateConfig? = nil,
        policies: [PolicyReference] = [],
        maxConcurrentStreams: Int = 1000, maxHeaderBytes: Int = 65536, maxHeaderFields: Int = 256,
        connection: ListenerConnectionConfig? = nil, limits: ListenerLimitsConfig? = nil,
        forwarded: ForwardedConfig? = nil, headersWithUnderscores: UnderscoreMode? = nil,
        requestID: RequestIDMode? = nil, neverIndex: [String] = [], metadata: [SettingValue.Entry] = [],
        location: SourceLocation = .unknown
    ) {
        self.name = name
        self.address = address
        self.tls = tls
        self.proxyProtocol = proxyProtocol
        self.forwardClientCertificate = forwardClientCertificate
        self.policies = policies
        self.maxConcurrentStreams = maxConcurrentStreams
        self.maxHeaderBytes = maxHeaderBytes
        self.maxHeaderFields = maxHeaderFields
        self.connection = connection
        self.limits = limits
        self.forwarded = forwarded
        self.headersWithUnderscores = headersWithUnderscores
        self.requestID = requestID
        self.neverIndex = neverIndex
        self.metadata = metadata
        self.location = location
    }
}
