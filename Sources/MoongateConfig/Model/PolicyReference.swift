/// A policy as a listener or route names it: a file and the settings of this instance.
public struct PolicyReference: Sendable, Equatable {
    public enum OnError: String, Sendable, Equatable, CaseIterable {
        /// The request ends with `INTERNAL` (gRPC) or 500.
        case deny
        /// The request goes on as if the hook had returned (what Envoy does).
        case `continue`
    }
    /// A source that stands in the configuration file.
    public struct Source: Sendable, Equatable {
        public var text: String
        /// The line of the file in which the text begins.
        public var line: Int
        public init(text: String, line: Int) {
            self.text = text
            self.line = line
        }
    }
    /// A name that is looked for in the policy path, or the absolute path of a file ending in `.lua`. Not looked for if
    /// there is a `source`.
    public var name: String
    /// What the file calls this use; `nil`: nothing, see `shownName`.
    public var label: String?
    /// `nil`: the policy is a file.
    public var source: Source?
    /// The policy's settings, handed to its hooks as `config`.
    public var settings: SettingValue
    public var onError: OnError
    /// CPU time that one run of a hook may use. `nil`: what `PolicySettings` says, as for all policies.
    public var timeLimit: Duration?
    /// CPU time that the policy's loading and its `on_init` may use. `nil`: what `PolicySettings` says.
    public var loadTimeLimit: Duration?
    /// Bytes that the policy may hold on one worker. `nil`: what `PolicySettings` says.
    public var memoryLimit: Int?
    public var location: SourceLocation
    public init(
        name: String, label: String? = nil, source: Source? = nil, settings: SettingValue = .table([]),
        onError: OnError = .deny, timeLimit: Duration? = nil, loadTimeLimit: Duration? = nil, memoryLimit: Int? = nil,
        location: SourceLocation = .unknown
    ) {
        self.name = name
        self.label = label
        self.source = source
        self.settings = settings
        self.onError = onError
        self.timeLimit = timeLimit
        self.loadTimeLimit = loadTimeLimit
        self.memoryLimit = memoryLimit
        self.location = location
    }
}

extension PolicyReference {
    /// What logs and metrics call it: its label, else the policy's name, for files without folder and ending.
    public var shownName: String {
        if let label { return label }
        guard name.hasSuffix(".lua") else { return name }
        let parts = name.dropLast(4).split(separator: "/")
        guard let last = parts.last else { return name }
        return last == "init" && parts.count > 1 ? String(parts[parts.count - 2]) : String(last)
    }

    /// Whether a route that switches off `name` means this one.
    public func answers(to name: String) -> Bool { shownName == name || label == nil && self.name == name }
}

/// A policy of the listener that a route switches off.
public struct DisabledPolicy: Sendable, Equatable {
    public var name: String
    public var location: SourceLocation
    public init(name: String, location: SourceLocation = .unknown) {
        self.name = name
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

    /// The entries of a table; none for other values.
    public var entries: [Entry] {
        guard case .table(let entries) = self else { return [] }
        return entries
    }

    /// The value for a key of a table.
    public subscript(key: String) -> SettingValue? { entries.first { $0.key == key }?.value }

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
    /// CPU time that one policy may use while its file is loaded, and again in each `on_init`.
    public var loadTimeLimit: Duration
    /// Bytes that one VM (per worker) may hold.
    public var memoryLimit: Int
    /// Bytes of a body that a hook may hold as a whole.
    public var bodyLimit: Int
    /// Bytes of a gRPC message that a hook may hold.
    public var messageLimit: Int
    /// Bytes that one policy may hold on one worker. `nil`: a quarter of `memoryLimit`.
    public var policyMemoryLimit: Int?
    /// Variables of the process that `os.getenv` shows to policies.
    public var env: [String]
    /// Most series of one metric that policies define.
    public var metricSeries: Int
    /// Bytes that the answer to a call of a policy may have.
    public var callLimit: Int
    /// Calls that the policies of one request may have under way.
    public var callsPerRequest: Int
    /// Calls that all policies of one worker may have under way.
    public var callsPerWorker: Int
    public init(
        path: [String] = [], timeLimit: Duration = .milliseconds(50), loadTimeLimit: Duration = .seconds(10),
        memoryLimit: Int = 64 << 20, bodyLimit: Int = 1 << 20, messageLimit: Int = 4 << 20,
        policyMemoryLimit: Int? = nil, env: [String] = [],
        callLimit: Int = 1 << 20, callsPerRequest: Int = 16, callsPerWorker: Int = 4096, metricSeries: Int = 1_000
    ) {
        self.path = path
        self.timeLimit = timeLimit
        self.loadTimeLimit = loadTimeLimit
        self.memoryLimit = memoryLimit
        self.bodyLimit = bodyLimit
        self.messageLimit = messageLimit
        self.policyMemoryLimit = policyMemoryLimit
        self.env = env
        self.metricSeries = metricSeries
        self.callLimit = callLimit
        self.callsPerRequest = callsPerRequest
        self.callsPerWorker = callsPerWorker
    }
}
