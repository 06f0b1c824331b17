/// How long a client's connection may live and be silent.
public struct ListenerConnectionConfig: Sendable, Equatable {
    /// For TLS, preface and first SETTINGS together; `.zero` means no limit.
    public var handshakeTimeout: Duration
    /// `nil`: no limit.
    public var maxAge: Duration?
    /// How long streams may go on behind `maxAge`; `nil`: as long as they like.
    public var maxAgeGrace: Duration?
    /// Without a stream; `nil`: no limit.
    public var maxIdle: Duration?
    /// `nil`: the client is never asked whether it is there.
    public var keepalive: KeepaliveConfig?
    public init(
        handshakeTimeout: Duration = .seconds(10), maxAge: Duration? = nil, maxAgeGrace: Duration? = nil,
        maxIdle: Duration? = nil, keepalive: KeepaliveConfig? = nil
    ) {
        self.handshakeTimeout = handshakeTimeout
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

/// Connections of a listener, in the whole process.
public struct ListenerLimitsConfig: Sendable, Equatable {
    /// `nil`: no limit.
    public var connections: Int?
    /// From one IPv4 address or one /64 network of IPv6; `nil`: no limit.
    public var connectionsPerAddress: Int?
    /// New connections per second; more wait in the kernel's queue. `nil`: no limit.
    public var connectionRate: Int?
    public init(connections: Int? = nil, connectionsPerAddress: Int? = nil, connectionRate: Int? = nil) {
        self.connections = connections
        self.connectionsPerAddress = connectionsPerAddress
        self.connectionRate = connectionRate
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
