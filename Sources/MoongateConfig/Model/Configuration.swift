/// Everything that `moongate.yaml` says, parsed and validated, with defaults filled in.
///
/// Relative paths have been made absolute against the folder of the file they stand in. A value of this
/// type knows no sockets and has read no other file.
public struct Configuration: Sendable, Equatable {
    /// Event loop threads. `nil`: one per core the process may run on.
    public var workers: Int?
    public var listeners: [ListenerConfig]
    public var policies: PolicySettings
    /// In the order of the file; names are unique.
    public var secrets: [SecretConfig]
    /// In the order of the file; names are unique.
    public var upstreams: [UpstreamConfig]
    /// In the order of the file; names are unique.
    public var routes: [RouteConfig]
    /// `nil`: no admin listener.
    public var admin: AdminConfig?
    /// `nil`: no access log.
    public var accessLog: AccessLogConfig?
    public var dns: DNSConfig
    public var limits: ProcessLimitsConfig
    public var overload: OverloadConfig
    public var drain: DrainConfig
    public var reload: ReloadConfig
    /// `nil`: as `ProcessConfig` has it by default.
    public var process: ProcessConfig?
    /// `nil`: as `WatchdogConfig` has it by default.
    public var watchdog: WatchdogConfig?

    public init(
        workers: Int? = nil, listeners: [ListenerConfig] = [], policies: PolicySettings = .init(),
        secrets: [SecretConfig] = [], upstreams: [UpstreamConfig] = [], routes: [RouteConfig] = [],
        admin: AdminConfig? = nil, accessLog: AccessLogConfig? = nil, dns: DNSConfig = .init(),
        limits: ProcessLimitsConfig = .init(), overload: OverloadConfig = .init(), drain: DrainConfig = .init(),
        reload: ReloadConfig = .init(), process: ProcessConfig? = nil, watchdog: WatchdogConfig? = nil
    ) {
        self.workers = workers
        self.listeners = listeners
        self.policies = policies
        self.secrets = secrets
        self.upstreams = upstreams
        self.routes = routes
        self.admin = admin
        self.accessLog = accessLog
        self.dns = dns
        self.limits = limits
        self.overload = overload
        self.drain = drain
        self.reload = reload
        self.process = process
        self.watchdog = watchdog
    }
}

/// The admin listener: `/metrics`, `/live`, `/ready`.
public struct AdminConfig: Sendable, Equatable {
    public var address: SocketAddressConfig
    /// An address beyond loopback is meant.
    public var allowRemote: Bool
    /// Names that requests may ask for beside `localhost` and IP addresses: `edge.internal`, `*.internal`.
    public var hosts: [String]
    public init(address: SocketAddressConfig, allowRemote: Bool = false, hosts: [String] = []) {
        self.address = address
        self.allowRemote = allowRemote
        self.hosts = hosts
    }
}

/// One JSON object per request and line.
public struct AccessLogConfig: Sendable, Equatable {
    public enum Destination: Sendable, Equatable {
        case standardOutput
        case file(String)
    }
    public var destination: Destination
    public init(destination: Destination) { self.destination = destination }
}

/// What SIGTERM does.
public struct DrainConfig: Sendable, Equatable {
    /// How long `/ready` fails while the listeners go on accepting, so that balancers in front notice.
    public var delay: Duration
    /// How long streams may go on after GOAWAY before they are ended with `UNAVAILABLE`.
    public var grace: Duration
    public init(delay: Duration = .seconds(5), grace: Duration = .seconds(30)) {
        self.delay = delay
        self.grace = grace
    }
}
