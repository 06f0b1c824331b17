import MoongateConfig
import MoongateLua

/// The policies of one configuration: which instances there are, and which run where. Immutable, shared by workers.
///
/// An instance is a file with settings. The same file with the same settings is the same instance wherever it is
/// named, so that an exchange which changes its route runs it once.
final class PolicyProgram: @unchecked Sendable {
    // Unchecked because of the chains, which are written in `init` only.

    struct Instance: Sendable {
        /// What makes two uses of a policy one instance.
        struct Identity: Hashable {
            var name: String
            var file: Int
            var settings: SettingValue
            var onError: PolicyReference.OnError
            var milliseconds: UInt32
        }
        /// For logs and metrics: the policy's name, or its file's without folder and ending.
        var name: String
        /// Index of the file in `files`.
        var file: Int
        var settings: SettingValue
        var onError: PolicyReference.OnError
        /// CPU time of one run of a hook.
        var milliseconds: UInt32
        /// CPU time of `on_init`. Two uses that differ in it alone are one instance, which has the longer time.
        var loadMilliseconds: UInt32
        /// Where the configuration names it first.
        var location: SourceLocation
        /// What is known of it while it is loaded.
        var ledger: PolicyLedger

        var identity: Identity {
            Identity(name: name, file: file, settings: settings, onError: onError, milliseconds: milliseconds)
        }
    }

    struct File: Sendable, Equatable {
        /// Absolute.
        var path: String
        /// As scripts' error messages call it.
        var chunkName: String
        var source: [UInt8]
        /// In `path`: more than 1 for a source within the configuration file.
        var firstLine = 1
        /// Bytes that it may hold on one worker.
        var memoryLimit: Int
        /// CPU time of its main chunk: the longest that one of its uses has.
        var loadMilliseconds: UInt32 = 0

        /// The place of a source in its file changes nothing about it, nor does the time that it had to load.
        static func == (left: File, right: File) -> Bool {
            left.path == right.path && left.chunkName == right.chunkName && left.source == right.source
                && left.memoryLimit == right.memoryLimit
        }
    }

    let instances: [Instance]
    let files: [File]
    let limits: LuaVM.Limits
    /// Bytes of a body that a hook may hold as a whole.
    let bodyLimit: Int
    /// Bytes of a gRPC message that a hook may be given.
    let messageLimit: Int
    /// Most series of one metric that policies define.
    let metricSeries: Int
    let secrets: [SecretConfig]
    /// Folder of the configuration file, against which scripts' paths are taken.
    let folder: String
    /// Folders for `require`.
    let modulePath: [String]
    let calls: PolicyCallLimits
    /// The upstreams of the configuration that the program was made from.
    let upstreams: Set<String>
    /// What `os.getenv` shows.
    let environment: [String: String]
    /// What making the first VM asked of the file system.
    let answers: [String: PolicyFileRecord.Answer]
    /// The lists that policies have read, shared by all VMs of the program.
    let lists: [SharedListKey: any SharedList]
    /// The upstreams that policies asked for while they were loaded, and whether there is one.
    let askedUpstreams: [String: Bool]
    /// Instance indexes in order, by the configuration's listeners and routes.
    private let listenerChains: [PolicyChain]
    private let routeChains: [PolicyChain]
    /// Listeners' chains on routes that switch some policies off.
    private let exceptions: [Place: PolicyChain]

    private struct Place: Hashable {
        var listener: Int
        var route: Int
    }

    /// - Parameter previous: the program whose VMs go on; their ledgers do, too.
    fileprivate init(
        _ plan: PolicyPlan, answers: [String: PolicyFileRecord.Answer] = [:],
        lists: [SharedListKey: any SharedList] = [:], askedUpstreams: [String: Bool] = [:],
        continuing previous: PolicyProgram? = nil
    ) {
        instances = previous.map { PolicyProgram.join(plan.instances, ledgersOf: $0.instances) } ?? plan.instances
        files = plan.files
        limits = plan.limits
        bodyLimit = plan.bodyLimit
        messageLimit = plan.messageLimit
        metricSeries = plan.metricSeries
        secrets = plan.secrets
        folder = plan.folder
        modulePath = plan.modulePath
        calls = plan.calls
        upstreams = plan.upstreams
        environment = plan.environment
        self.answers = answers
        self.lists = lists
        self.askedUpstreams = askedUpstreams
        listenerChains = plan.listenerChains.map { PolicyChain(copying: $0) }
        routeChains = plan.routeChains.map { PolicyChain(copying: $0) }
        exceptions = Dictionary(
            plan.exceptions.map { item in
                (Place(listener: item.listener, route: item.route), PolicyChain(copying: item.chain))
            }, uniquingKeysWith: { first, _ in first })
    }

    /// Both lists hold the same instances.
    private static func join(_ instances: [Instance], ledgersOf known: [Instance]) -> [Instance] {
        zip(instances, known).map { instance, known in
            var instance = instance
            instance.ledger = known.ledger
            return instance
        }
    }

    deinit {
        for chain in listenerChains + routeChains + exceptions.values { chain.free() }
    }

    /// No route and no listener has a policy.
    var isEmpty: Bool { instances.isEmpty }

    /// - Parameter index: of the listener or route in the configuration; -1 gives the empty chain.
    func listenerChain(_ index: Int) -> PolicyChain? { index >= 0 ? listenerChains[index] : nil }

    /// Whether some route switches policies of its listeners off.
    var hasExceptions: Bool { !exceptions.isEmpty }

    /// The listener's chain for requests of a route; -1: of none.
    func listenerChain(_ index: Int, route: Int) -> PolicyChain? {
        exceptions[Place(listener: index, route: route)] ?? listenerChain(index)
    }

    func routeChain(_ index: Int) -> PolicyChain? { index >= 0 ? routeChains[index] : nil }

    /// Whether the VMs of this program would come out the same from `plan`, so that they may go on.
    fileprivate func serves(_ plan: PolicyPlan) -> Bool {
        instances.map(\.identity) == plan.instances.map(\.identity) && files == plan.files && limits == plan.limits
            && bodyLimit == plan.bodyLimit && messageLimit == plan.messageLimit
            && metricSeries == plan.metricSeries
            && secrets == plan.secrets && folder == plan.folder
            && modulePath == plan.modulePath && environment == plan.environment && calls == plan.calls
            && askedUpstreams.allSatisfy { plan.upstreams.contains($0.key) == $0.value }
    }
}

/// The instances that run on one listener or route, in order. Kept by the program.
typealias PolicyChain = FlatArray<Int32>

extension PolicyProgram {
    /// What `make` gives: the program, and the host that was made to try it.
    struct Made {
        var program: PolicyProgram
        /// The first worker's; `nil` if nothing changed and the running hosts may go on with `program`.
        var host: PolicyHost?
    }

    /// Finds, loads and initialises all policies of a configuration.
    ///
    /// - Parameters:
    ///   - folder: of the configuration file.
    ///   - shipped: folder of the policies that ship; searched last.
    ///   - previous: the program in force. Where only chains differ, the hosts of its VMs may go on.
    ///   - services: for the first host.
    /// - Throws: everything that is wrong, in one list.
    static func make(
        _ config: Configuration, folder: String, shipped: String?, loader: PolicySourceLoader,
        previous: PolicyProgram? = nil, services: PolicyServices
    ) throws(DiagnosticList) -> Made {
        let record = PolicyFileRecord(loader, previous: previous)
        let plan = try PolicyPlan(config, folder: folder, shipped: shipped, record: record)
        if let previous, previous.serves(plan), PolicyFileRecord.isUnchanged(previous.answers, loader) {
            let program = PolicyProgram(
                plan, answers: previous.answers, lists: previous.lists, askedUpstreams: previous.askedUpstreams,
                continuing: previous)
            return Made(program: program, host: nil)
        }
        let host = try PolicyHost(PolicyProgram(plan), record: record, services: services)
        let program = PolicyProgram(
            plan, answers: record.answers, lists: record.lists, askedUpstreams: host.askedUpstreams)
        host.serve(program)
        return Made(program: program, host: host)
    }
}
