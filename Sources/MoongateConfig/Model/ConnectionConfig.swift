/// How long a client's connection may live and be silent.
public struct ListenerConnectionConfig: Sendable, Equatable {
    /// For TLS, preface and first SETTINGS together; `.zero` means no limit.
    public var handshakeTimeout: Duration
    /// From the first octet of a request's headers to the last; `.zero` means no limit.
    public var requestHeadersTimeout: Duration
    /// Without an octet of a request's body while there is no response; `.zero` means no limit.
    public var requestBodyTimeout: Duration
    /// Without an octet taken by the client's socket; `.zero` means no limit.
    public var sendTimeout: Duration
    /// `nil`: no limit.
    public var maxAge: Duration?
    /// How long streams may go on behind `maxAge`; `nil`: as long as they like.
    public var maxAgeGrace: Duration?
    /// Without a stream; `nil`: no limit.
    public var maxIdle: Duration?
    /// `nil`: the client is never asked whether it is there.
    public var keepalive: KeepaliveConfig?
    public init(
        handshakeTimeout: Duration = .seconds(10), requestHeadersTimeout: Duration = .seconds(10),
        requestBodyTimeout: Duration = .seconds(300), sendTimeout: Duration = .seconds(60), maxAge: Duration? = nil,
        maxAgeGrace: Duration? = nil, maxIdle: Duration? = nil, keepalive: KeepaliveConfig? = nil
    ) {
        self.handshakeTimeout = handshakeTimeout
        self.requestHeadersTimeout = requestHeadersTimeout
        self.requestBodyTimeout = requestBodyTimeout
        self.sendTimeout = sendTimeout
        self.maxAge = maxAge
        self.maxAgeGrace = maxAgeGrace
        self.maxIdle = maxIdle
        self.keepalive = keepalive
    }
}

/// PING to a peer that has been silent.
public struct KeepaliveConfig: Sendable, Equatable {
    /// Silence before a PING.
    public var interval: Duration
    /// For an answer of any kind.
    public var timeout: Duration
    public init(interval: Duration = .seconds(7200), timeout: Duration = .seconds(20)) {
        self.interval = interval
        self.timeout = timeout
    }
}

/// Connections of a listener, in the whole process, and what each may ask of it.
public struct ListenerLimitsConfig: Sendable, Equatable {
    /// `nil`: no limit.
    public var connections: Int?
    /// From one IPv4 address or one /64 network of IPv6; `nil`: no limit.
    public var connectionsPerAddress: Int?
    /// New connections per second; more wait in the kernel's queue. `nil`: no limit.
    public var connectionRate: Int?
    /// Connections of one worker on which HTTP/2 has not begun.
    public var pendingHandshakes: Int
    /// Bytes of responses that wait for a connection's client.
    public var responseBuffer: Int
    /// Bytes of requests that one connection may have us hold: heads, bodies that wait, and bodies that policies collect, each.
    public var requestBuffer: Int
    /// Frames of one kind that bring nothing, in a row.
    public var controlFrames: Int
    /// Streams reset by the client or for its mistakes, beyond those that end well.
    public var resets: Int
    public init(
        connections: Int? = nil, connectionsPerAddress: Int? = nil, connectionRate: Int? = nil,
        pendingHandshakes: Int = 1000, responseBuffer: Int = 4 << 20, requestBuffer: Int = 4 << 20,
        controlFrames: Int = 1000,
        resets: Int = 1000
    ) {
        self.connections = connections
        self.connectionsPerAddress = connectionsPerAddress
        self.connectionRate = connectionRate
        self.pendingHandshakes = pendingHandshakes
        self.responseBuffer = responseBuffer
        self.requestBuffer = requestBuffer
        self.controlFrames = controlFrames
        self.resets = resets
    }
}

/// How long a connection to an upstream may live and be silent.
public struct UpstreamConnectionConfig: Sendable, Equatable {
    /// `nil`: no limit.
    public var maxAge: Duration?
    /// Without a stream; `nil`: no limit.
    public var maxIdle: Duration?
    /// While there are streams; `nil`: never.
    public var keepalive: KeepaliveConfig?
    /// How long sent data may go unacknowledged (`TCP_USER_TIMEOUT`).
    public var tcpUserTimeout: Duration
    public init(
        maxAge: Duration? = nil, maxIdle: Duration? = nil, keepalive: KeepaliveConfig? = nil,
        tcpUserTimeout: Duration = .seconds(20)
    ) {
        self.maxAge = maxAge
        self.maxIdle = maxIdle
        self.keepalive = keepalive
        self.tcpUserTimeout = tcpUserTimeout
    }
}
