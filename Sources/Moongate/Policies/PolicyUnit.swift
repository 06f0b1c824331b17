import MoongateConfig
import MoongateLua

/// One policy file with a memory limit and all its uses: what one script engine of a worker runs. Immutable, shared by workers, and by
/// generations as long as nothing that it is made of changes.
final class PolicyUnit: Sendable {
    struct Instance: Sendable {
        /// What makes two uses of a file one instance.
        struct Identity: Hashable {
            var name: String
            var settings: SettingValue
            var onError: PolicyReference.OnError
            var milliseconds: UInt32
        }
        /// For logs and metrics: the policy's name, or its file's without folder and ending.
        var name: String
        var settings: SettingValue
        var onError: PolicyReference.OnError
        /// CPU time of one run of a hook.
        var milliseconds: UInt32
        /// CPU time of `on_init`, see `LoadTimes`. Two uses that differ in it alone are one instance, which has the longer time.
        var loadMilliseconds: UInt32
        /// Where the configuration names it first.
        var location: SourceLocation
        /// What is known of it while it is loaded.
        var stats: PolicyStats

        var identity: Identity {
            Identity(name: name, settings: settings, onError: onError, milliseconds: milliseconds)
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
        /// CPU time of its main chunk, see `LoadTimes`: the longest that one of its uses has.
        var loadMilliseconds: UInt32 = 0

        /// What a file is known by over reloads: several sources may stand in one configuration.
        var identity: String { "\(path) \(chunkName)" }

        /// The place of a source in its file changes nothing about it, nor does the time that it had to load.
        static func == (left: File, right: File) -> Bool {
            left.path == right.path && left.chunkName == right.chunkName && left.source == right.source
                && left.memoryLimit == right.memoryLimit
        }
    }

    /// An instance by its place in the unit. No number of a chain, which counts the instances of all units.
    struct Place: Sendable, Hashable {
        let index: Int32
    }

    /// The part of the configuration that all units have in common.
    struct Terms: Sendable, Equatable {
        /// CPU time of one run, unless the instance has a limit of its own.
        var milliseconds: UInt32
        /// Bytes of a body that a hook may hold as a whole.
        var bodyLimit: Int
        /// Bytes of a gRPC message that a hook may be given.
        var messageLimit: Int
        /// Most series of one metric that policies define.
        var metricSeries: Int
        var secrets: [SecretConfig]
        /// Folder of the configuration file, against which scripts' paths are taken.
        var folder: String
        /// Folders for `require`.
        var modulePath: [String]
        var calls: PolicyCallLimits
        /// What `os.getenv` shows.
        var environment: [String: String]
    }

    /// What came to light when the unit's first engine was loaded.
    struct Findings: Sendable {
        /// What loading asked of the file system.
        var answers: [String: PolicyFileRecord.Answer] = [:]
        /// The lists that the policy has read, shared by all engines of the unit.
        var lists: [SharedListKey: any SharedList] = [:]
        /// The upstreams that the policy asked for while it was loaded, and whether there is one.
        var upstreams: [String: Bool] = [:]
        /// Bytes that an engine holds once it is loaded.
        var memory = 0
        /// What the policy shares with others by name.
        var names = PolicyResources.Names()
    }

    /// CPU time that engines have to load, in milliseconds. They change nothing about an engine that has been loaded, so a unit goes on
    /// when they change.
    struct LoadTimes: Sendable {
        /// Of the file's main chunk.
        var chunk: UInt32
        /// Of `on_init`, by instance.
        var instances: [UInt32]
    }

    let file: File
    let instances: [Instance]
    let terms: Terms
    let findings: Findings
    /// Those of the configuration in force.
    private let times: Locked<LoadTimes>

    init(file: File, instances: [Instance], terms: Terms, findings: Findings = Findings()) {
        self.file = file
        self.instances = instances
        self.terms = terms
        self.findings = findings
        times = Locked(LoadTimes(chunk: file.loadMilliseconds, instances: instances.map(\.loadMilliseconds)))
    }

    /// What an engine that is loaded now has.
    var loadTimes: LoadTimes { times.withLock { $0 } }

    /// Puts the times of another configuration in force, for engines that are made from now on. `new` is for the same instances.
    func use(_ new: LoadTimes) {
        guard new.instances.count == instances.count else { return }
        times.withLock { $0 = new }
    }

    /// The same unit, once it has been loaded.
    func with(_ findings: Findings) -> PolicyUnit {
        PolicyUnit(file: file, instances: instances, terms: terms, findings: findings)
    }

    /// Whether an engine of `draft` would come out as those of this unit, so that they may go on.
    func serves(_ draft: PolicyUnit, _ upstreams: Set<String>, _ loader: PolicySourceLoader) -> Bool {
        file == draft.file && instances.map(\.identity) == draft.instances.map(\.identity) && terms == draft.terms
            && findings.upstreams.allSatisfy { upstreams.contains($0.key) == $0.value }
            && PolicyFileRecord.isUnchanged(findings.answers, loader)
    }
}
