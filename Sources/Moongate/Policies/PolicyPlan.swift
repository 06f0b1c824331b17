import Glibc
import MoongateConfig
import MoongateLua

/// The policies that a configuration names, found and read, but not loaded yet.
struct PolicyPlan {
    /// What runs on a listener for requests of one route, where that is less than for others.
    struct Exception {
        var route: Int
        var listener: Int
        var chain: [Int32]
    }

    private(set) var instances: [PolicyProgram.Instance] = []
    private(set) var files: [PolicyProgram.File] = []
    private(set) var listenerChains: [[Int32]] = []
    private(set) var routeChains: [[Int32]] = []
    private(set) var exceptions: [Exception] = []
    let limits: LuaVM.Limits
    let bodyLimit: Int
    let messageLimit: Int
    let metricSeries: Int
    let secrets: [SecretConfig]
    let folder: String
    let modulePath: [String]
    let calls: PolicyCallLimits
    /// The upstreams of the configuration.
    let upstreams: Set<String>
    /// What `os.getenv` shows.
    private(set) var environment: [String: String] = [:]

    /// A file is loaded once for each memory limit that its uses give it: globals have one owner.
    private struct FileUse: Hashable {
        var path: String
        var memoryLimit: Int
    }
    private let policyMemoryLimit: Int
    private let loadTimeLimit: Duration
    private var fileIndexes: [FileUse: Int] = [:]
    private var instanceIndexes: [PolicyProgram.Instance.Identity: Int] = [:]
    private var diagnostics: [Diagnostic] = []

    /// - Throws: every policy that was not found or cannot be read.
    init(
        _ config: Configuration, folder: String, shipped: String?, record: PolicyFileRecord
    ) throws(DiagnosticList) {
        self.folder = folder
        secrets = config.secrets
        modulePath = config.policies.path + (shipped.map { [$0] } ?? [])
        metricSeries = config.policies.metricSeries
        loadTimeLimit = config.policies.loadTimeLimit
        let milliseconds = max(1, config.policies.timeLimit.nanoseconds / 1_000_000)
        limits = LuaVM.Limits(memory: config.policies.memoryLimit, milliseconds: UInt32(clamping: milliseconds))
        calls = PolicyCallLimits(
            bytes: config.policies.callLimit, perRequest: config.policies.callsPerRequest,
            perWorker: config.policies.callsPerWorker)
        upstreams = Set(config.upstreams.map(\.name))
        bodyLimit = config.policies.bodyLimit
        messageLimit = config.policies.messageLimit
        policyMemoryLimit = config.policies.policyMemoryLimit ?? config.policies.memoryLimit / 4
        for name in config.policies.env {
            if let value = getenv(name) { environment[name] = String(cString: value) }
        }
        for listener in config.listeners { listenerChains.append(chain(listener.policies, record)) }
        for route in config.routes { routeChains.append(chain(route.policies, record)) }
        for (index, route) in config.routes.enumerated() where !route.disabledPolicies.isEmpty {
            exempt(route, index, config.listeners, record)
        }
        if !diagnostics.isEmpty { throw DiagnosticList(diagnostics) }
    }

    /// The listeners' chains on a route that switches some of their policies off.
    private mutating func exempt(
        _ route: RouteConfig, _ index: Int, _ listeners: [ListenerConfig], _ record: PolicyFileRecord
    ) {
        for (place, listener) in listeners.enumerated() {
            let left = listener.policies.filter { policy in
                !route.disabledPolicies.contains { policy.answers(to: $0.name) }
            }
            guard left.count < listener.policies.count else { continue }
            exceptions.append(Exception(route: index, listener: place, chain: chain(left, record)))
        }
    }

    private mutating func chain(_ references: [PolicyReference], _ record: PolicyFileRecord) -> [Int32] {
        references.compactMap { reference in
            guard let file = find(reference, record) else { return nil }
            let instance = PolicyProgram.Instance(
                name: reference.shownName, file: file, settings: reference.settings,
                onError: reference.onError, milliseconds: milliseconds(reference),
                loadMilliseconds: loadMilliseconds(reference), location: reference.location,
                ledger: PolicyLedger(source: files[file].source))
            return Int32(index(of: instance))
        }
    }

    private func loadMilliseconds(_ reference: PolicyReference) -> UInt32 {
        UInt32(clamping: max(1, (reference.loadTimeLimit ?? loadTimeLimit).nanoseconds / 1_000_000))
    }

    private func milliseconds(_ reference: PolicyReference) -> UInt32 {
        guard let limit = reference.timeLimit else { return limits.milliseconds }
        return UInt32(clamping: max(1, limit.nanoseconds / 1_000_000))
    }

    /// What the file of a reference may hold; reports one that leaves nothing for the others.
    private mutating func memoryLimit(_ reference: PolicyReference) -> Int {
        guard let limit = reference.memoryLimit else { return policyMemoryLimit }
        if limit > limits.memory / 2 {
            diagnostics.append(
                Diagnostic(
                    location: reference.location,
                    message: "the memory_limit of policy \(reference.name) is more than half of policies.memory_limit",
                    hint: "one policy must not be able to fill what all share"))
        }
        return limit
    }

    private mutating func index(of instance: PolicyProgram.Instance) -> Int {
        files[instance.file].loadMilliseconds = max(files[instance.file].loadMilliseconds, instance.loadMilliseconds)
        if let known = instanceIndexes[instance.identity] {
            instances[known].loadMilliseconds = max(instances[known].loadMilliseconds, instance.loadMilliseconds)
            return known
        }
        instances.append(instance)
        instanceIndexes[instance.identity] = instances.count - 1
        return instances.count - 1
    }

    private mutating func find(_ reference: PolicyReference, _ record: PolicyFileRecord) -> Int? {
        if let source = reference.source { return index(of: source, reference) }
        guard let (path, chunkName) = locate(reference, record) else { return nil }
        let use = FileUse(path: path, memoryLimit: memoryLimit(reference))
        if let known = fileIndexes[use] { return known }
        do {
            files.append(
                PolicyProgram.File(
                    path: path, chunkName: chunkName, source: try record.read(path, as: .policy),
                    memoryLimit: use.memoryLimit))
            fileIndexes[use] = files.count - 1
            return files.count - 1
        } catch {
            diagnostics.append(
                Diagnostic(
                    location: reference.location,
                    message: "policy \(reference.name) cannot be read: \(error.message)"))
            return nil
        }
    }

    /// The same source under the same name is one file.
    private mutating func index(of source: PolicyReference.Source, _ reference: PolicyReference) -> Int {
        let use = FileUse(
            path: "lua \(reference.shownName)\n\(source.text)", memoryLimit: memoryLimit(reference))
        if let known = fileIndexes[use] { return known }
        files.append(
            PolicyProgram.File(
                path: reference.location.file, chunkName: reference.shownName, source: Array(source.text.utf8),
                firstLine: source.line, memoryLimit: use.memoryLimit))
        fileIndexes[use] = files.count - 1
        return files.count - 1
    }

    private mutating func locate(
        _ reference: PolicyReference, _ record: PolicyFileRecord
    ) -> (path: String, chunkName: String)? {
        let name = reference.name
        if name.hasSuffix(".lua") {
            return (name, name.split(separator: "/").suffix(2).joined(separator: "/"))
        }
        for folder in modulePath {
            for file in ["\(name)/init.lua", "\(name).lua"] where record.exists("\(folder)/\(file)") {
                return ("\(folder)/\(file)", file)
            }
        }
        let searched = modulePath.isEmpty ? "no folder; set policies.path" : modulePath.joined(separator: ", ")
        diagnostics.append(
            Diagnostic(
                location: reference.location, message: "there is no policy called \(name)",
                hint: "searched \(searched) for \(name)/init.lua and \(name).lua"))
        return nil
    }
}
