/// An address on which clients are accepted.
public struct ListenerConfig: Sendable, Equatable {
    /// Unique; the address as written if the file gives no name.
    public var name: String
    public var address: SocketAddressConfig
    /// `nil`: cleartext HTTP/2 with prior knowledge.
    public var tls: ListenerTLSConfig?
    /// Run before a route is chosen, on every request of this listener.
    public var policies: [PolicyReference]
    /// `SETTINGS_MAX_CONCURRENT_STREAMS` towards clients.
    public var maxConcurrentStreams: Int
    /// Largest request header list in bytes (RFC 9113 §6.5.2: name + value + 32 per field).
    public var maxHeaderBytes: Int
    /// `nil`: as `ForwardedConfig` begins.
    public var forwarded: ForwardedConfig?
    /// `nil`: `off`.
    public var requestID: RequestIDMode?
    /// Names in lower case of request headers that no hop may put into a compression table (RFC 7541 §7.1), beyond
    /// those that always are.
    public var neverIndex: [String]
    /// Values by namespace and key, for policies that read them.
    public var metadata: [SettingValue.Entry]
    /// Where the listener stands in the file, for messages.
    public var location: SourceLocation

    public init(
        name: String, address: SocketAddressConfig, tls: ListenerTLSConfig? = nil, policies: [PolicyReference] = [],
        maxConcurrentStreams: Int = 1000, maxHeaderBytes: Int = 65536, forwarded: ForwardedConfig? = nil,
        requestID: RequestIDMode? = nil, neverIndex: [String] = [], metadata: [SettingValue.Entry] = [],
        location: SourceLocation = .unknown
    ) {
        self.name = name
        self.address = address
        self.tls = tls
        self.policies = policies
        self.maxConcurrentStreams = maxConcurrentStreams
        self.maxHeaderBytes = maxHeaderBytes
        self.forwarded = forwarded
        self.requestID = requestID
        self.neverIndex = neverIndex
        self.metadata = metadata
        self.location = location
    }
}

/// TLS of a listener. The certificate is chosen by SNI; the first one serves clients that match none.
public struct ListenerTLSConfig: Sendable, Equatable {
    public enum Version: String, Sendable, Equatable, CaseIterable {
        case v1_2 = "1.2"
        case v1_3 = "1.3"
    }
    public struct Certificate: Sendable, Equatable {
        /// PEM file: the certificate, then its chain.
        public var certificate: String
        /// PEM file: the private key.
        public var key: String
        public init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }
    /// At least one.
    public var certificates: [Certificate]
    public var minimumVersion: Version
    public init(certificates: [Certificate], minimumVersion: Version = .v1_2) {
        self.certificates = certificates
        self.minimumVersion = minimumVersion
    }
}
