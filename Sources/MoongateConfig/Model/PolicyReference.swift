/// A policy as a listener or route names it: a file and the settings of this instance.
public struct PolicyReference: Sendable, Equatable {
    public enum OnError: String, Sendable, Equatable, CaseIterable {
        /// The request ends with `INTERNAL` (gRPC) or 500.
        case deny
        /// The request goes on as if the hook had returned (what Envoy does).
        case `continue`
    }
    /// A name that is looked for in the policy path, or the absolute path of a file ending in `.lua`.
    public var name: String
    /// The policy's settings, handed to its hooks as `config`.
    public var settings: SettingValue
    public var onError: OnError
    public var location: SourceLocation
    public init(
        name: String, settings: SettingValue = .table([]), onError: OnError = .deny,
        location: SourceLocation = .unknown
    ) {
        self.name = name
        self.settings = settings
        self.onError = onError
        self.location = location
    }
}

/// A YAML value without a schema of its own, order kept.
public indirect enum SettingValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case list([SettingValue])
    case table([Entry])

    public struct Entry: Sendable, Hashable {
        public var key: String
        public var value: SettingValue
        public init(key: String, value: SettingValue) {
            self.key = key
            self.value = value
        }
    }
}

/// Where policies are found and what they may use.
public struct PolicySettings: Sendable, Equatable {
    /// Folders searched in order, before the policies that ship.
    public var path: [String]
    /// CPU time that one hook may use, waits excluded.
    public var timeLimit: Duration
    /// Bytes that one VM (per worker) may hold.
    public var memoryLimit: Int
    /// Most series of one metric that policies define.
    public var metricSeries: Int
    public init(
        path: [String] = [], timeLimit: Duration = .milliseconds(50), memoryLimit: Int = 64 << 20,
        metricSeries: Int = 1_000
    ) {
        self.path = path
        self.timeLimit = timeLimit
        self.memoryLimit = memoryLimit
        self.metricSeries = metricSeries
    }
}
