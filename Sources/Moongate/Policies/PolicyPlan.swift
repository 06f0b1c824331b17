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

    /// By the number that chains have for an instance.
    private(set) var places: [PolicyProgram.Place] = []
    private(set) var listenerChains: [[Int32]] = []
    private(set) var routeChains: [[Int32]] = []
    private(set) var exceptions: [Exception] = []
    /// Bytes that all script engines of a worker may hold.
    let memoryLimit: Int
    /// The upstreams of the configuration.
    let upstreams: Set<String>
    private let terms: PolicyUnit.Terms
    private var files: [PolicyUnit.File] = []
    /// By the file's index.
    private var instances: [[PolicyUnit.Instance]] = []

    /// A file is loaded once for each memory limit that its uses give it: globals have one owner.
    private struct FileUse: Hashable {
        var path: String
        var memoryLimit: Int
    }
    private struct Use: Hashable {
        var file: Int
        var identity: PolicyUnit.Instance.Identity
    }
    private let policyMemoryLimit: Int
    private let loadTimeLimit: Duration
    private var fileIndexes: [FileUse: Int] = [:]
    private var numbers: [Use: Int] = [:]
    private var diagnostics: [Diagnostic] = []

    /// - Throws: every policy that was not found or cannot be read.
    init(
        _ config: Configuration, folder: String, shipped: String?, loader: PolicySourceLoader
    ) throws(DiagnosticList) {
        let record = PolicyFileRecord(loader)
        let policies = config.policies
        loadTimeLimit = policies.loadTimeLimit
        memoryLimit = policies.memoryLimit
        upstreams = Set(config.upstreams.map(\.name))
        policyMemoryLimit = policies.policyMemoryLimit ?? policies.memoryLimit / 4
        terms = PolicyUnit.Terms(
            milliseconds: UInt32(clamping: max(1, policies.timeLimit.nanoseconds / 1_000_000)),
            bodyLimit: policies.bodyLimit, messageLimit: policies.messageLimit, metricSeries: policies.metricSeries,
            secrets: config.secrets, folder: folder, modulePath: policies.path + (shipped.map { [$0] } ?? []),
            calls: PolicyCallLimits(
                bytes: policies.callLimit, perRequest: policies.callsPerRequest, perWorker: policies.callsPerWorker),
            environment: PolicyPlan.environment(policies.env))
        for listener in config.listeners { listenerChains.append(chain(listener.policies, record)) }
        for route in config.routes { routeChains.append(chain(route.policies, record)) }
        for (index, route) in config.routes.enumerated() where !route.disabledPolicies.isEmpty {
            exempt(route, index, config.listeners, record)
        }
        if !diagnostics.isEmpty { throw DiagnosticList(diagnostics) }
    }

    /// The units, which have not been loaded.
    var units: [PolicyUnit] {
        zip(files, instances).map { PolicyUnit(file: $0, instances: $1, terms: terms) }
    }

    /// The variables of these names that there are.
    private static func environment(_ names: [String]) -> [String: String] {
        var environment: [String: String] = [:]
        for name in names {
            if let value = getenv(name) { environment[name] = String(cString: value) }
        }
        return environment
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
            let instance = PolicyUnit.Instance(
                name: reference.shownName, settings: reference.settings,
                onError: reference.onError, milliseconds: milliseconds(reference),
                loadMilliseconds: loadMilliseconds(reference), location: reference.location,
                stats: PolicyStats(source: files[file].source))
            return Int32(number(of: instance, file))
        }
    }

    private func loadMilliseconds(_ reference: PolicyReference) -> UInt32 {
        UInt32(clamping: max(1, (reference.loadTimeLimit ?? loadTimeLimit).nanoseconds / 1_000_000))
    }

    private func milliseconds(_ reference: PolicyReference) -> UInt32 {
        guard let limit = reference.timeLimit else { return terms.milliseconds }
        return UInt32(clamping: max(1, limit.nanoseconds / 1_000_000))
    }

    /// What the file of a reference may hold; reports one that leaves nothing for the others.
    private mutating func bytes(of reference: PolicyReference) -> Int {
        guard let limit = reference.memoryLimit else { return policyMemoryLimit }
        if limit > memoryLimit / 2 {
            diagnostics.append(
                Diagnostic(
                    location: reference.location,
                    message: "the memory_limit of policy \(reference.name) is more than half of policies.memory_limit",
                    hint: "one policy must not be able to fill what all share"))
        }
        return limit
    }

    private mutating func number(of instance: PolicyUnit.Instance, _ file: Int) -> Int {
        files[file].loadMilliseconds = max(files[file].loadMilliseconds, instance.loadMilliseconds)
        let use = Use(file: file, identity: instance.identity)
        if let known = numbers[use] {
            let index = places[known].index
            instances[file][index].loadMilliseconds = max(
                instances[file][index].loadMilliseconds, instance.loadMilliseconds)
            return known
        }
        instances[file].append(instance)
        places.append(PolicyProgram.Place(unit: file, index: instances[file].count - 1))
        numbers[use] = places.count - 1
        return places.count - 1
    }

    private mutating func find(_ reference: PolicyReference, _ record: PolicyFileRecord) -> Int? {
        if let source = reference.source { return index(of: source, reference) }
        guard let (path, chunkName) = locate(reference, record) else { return nil }
        let use = FileUse(path: path, memoryLimit: bytes(of: reference))
        if let known = fileIndexes[use] { return known }
        do {
            return add(
                PolicyUnit.File(
                    path: path, chunkName: chunkName, source: try record.read(path, as: .policy),
                    memoryLimit: use.memoryLimit), use)
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
            path: "lua \(reference.shownName)\n\(source.text)", memoryLimit: bytes(of: reference))
        if let known = fileIndexes[use] { return known }
        return add(
            PolicyUnit.File(
                path: reference.location.file, chunkName: reference.shownName, source: Array(source.text.utf8),
                firstLine: source.line, memoryLimit: use.memoryLimit), use)
    }

    private mutating func add(_ file: PolicyUnit.File, _ use: FileUse) -> Int {
        files.append(file)
        instances.append([])
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
        for folder in terms.modulePath {
            for file in ["\(name)/init.lua", "\(name).lua"] where record.exists("\(folder)/\(file)") {
                return ("\(folder)/\(file)", file)
            }
        }
        let searched =
            terms.modulePath.isEmpty ? "no folder; set policies.path" : terms.modulePath.joined(separator: ", ")
        diagnostics.append(
            Diagnostic(
                location: reference.location, message: "there is no policy called \(name)",
                hint: "searched \(searched) for \(name)/init.lua and \(name).lua"))
        return nil
    }
}
