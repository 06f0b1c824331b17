import MoongateConfig

/// What one policy holds on a worker of the state that policies share, by name, so that it lives as long as the policy's engine.
final class PolicyResources {
    /// What a policy claims for itself and others by name, found out when it is loaded.
    struct Names: Sendable {
        var limits: [String: SharedDict.Limits] = [:]
        var metrics: [ScriptMetric.Definition] = []
    }

    private(set) var dicts: [String: SharedDict] = [:]
    private(set) var metrics: [String: ScriptMetric] = [:]
    /// Limits that the policy has asked for.
    private var limits: [String: SharedDict.Limits] = [:]
    /// The policy's file.
    let file: PolicyUnit.File
    /// The table of the file's rate limits, once there is one.
    private var table: LimitTable?
    /// The slots of the file's concurrency limits.
    private(set) lazy var slots = state.limits.slots(of: file.identity)
    private let state: PolicyState

    init(_ state: PolicyState, file: PolicyUnit.File) {
        self.state = state
        self.file = file
    }

    var names: Names { Names(limits: limits, metrics: metrics.values.map(\.definition)) }

    /// The policy goes into force: dicts that live already take up its limits.
    func takeEffect() {
        for (name, wanted) in limits { dicts[name]?.use(wanted) }
    }

    /// What two policies of a configuration claim that cannot both be.
    static func conflicts(among units: [PolicyUnit]) -> [Diagnostic] {
        var dicts: [String: (limits: SharedDict.Limits, file: PolicyUnit.File)] = [:]
        var metrics: [(definition: ScriptMetric.Definition, file: PolicyUnit.File)] = []
        var faults: [Diagnostic] = []
        for unit in units {
            for (name, limits) in unit.findings.names.limits.sorted(by: { $0.key < $1.key }) {
                if let known = dicts[name], known.limits != limits {
                    faults.append(fault(unit, differentLimits(name, known.file)))
                }
                dicts[name] = dicts[name] ?? (limits, unit.file)
            }
            for definition in unit.findings.names.metrics.sorted(by: { $0.name < $1.name }) {
                if let message = metrics.lazy.compactMap({ conflict(definition, with: $0.definition) }).first {
                    faults.append(fault(unit, message))
                }
                metrics.append((definition, unit.file))
            }
        }
        return faults
    }

    private static func fault(_ unit: PolicyUnit, _ message: CallMessage) -> Diagnostic {
        Diagnostic(
            location: SourceLocation(file: unit.file.path, line: 0, column: 0), message: message.description)
    }

    // MARK: Dicts

    /// - Parameter limits: `nil`: any.
    func dict(_ name: String, _ limits: SharedDict.Limits?) throws(StateFault) -> SharedDict {
        if let limits {
            if let known = self.limits[name], known != limits {
                throw StateFault(PolicyResources.differentLimits(name, file))
            }
            self.limits[name] = limits
        }
        if let dict = dicts[name] { return dict }
        guard let dict = state.dicts.dict(name, limits ?? SharedDict.Limits()) else {
            throw StateFault("there is not enough memory for the dict '\(known: name)'")
        }
        dicts[name] = dict
        return dict
    }

    /// How many entries a dict has once this policy is in force.
    func entries(of dict: SharedDict) -> Int { (limits[dict.name] ?? dict.limits).entries }

    private static func differentLimits(_ name: String, _ file: PolicyUnit.File) -> CallMessage {
        "the dict '\(known: name)' has other limits in \(known: file.chunkName): they must be the same wherever they are given"
    }

    // MARK: Limits

    /// The table of the file's rate limits.
    ///
    /// - Parameter keys: of a table that is made now.
    func rates(keys: Int) -> LimitTable {
        if let table { return table }
        let made = state.limits.rates(of: file.identity, keys: keys)
        table = made
        return made
    }

    // MARK: Metrics

    /// Keeps the metric that `make` gives, unless there is one of this name, which must then have the same shape.
    ///
    /// - Parameter others: what the policies beside this one hold.
    func metric(
        _ definition: ScriptMetric.Definition, beside others: [PolicyResources], _ make: () -> ScriptMetric
    ) throws(StateFault) -> ScriptMetric {
        if let known = metrics[definition.name], known.definition == definition { return known }
        for resources in [self] + others {
            for known in resources.metrics.values {
                if let message = PolicyResources.conflict(definition, with: known.definition) {
                    throw StateFault(message)
                }
            }
        }
        let metric = make()
        metrics[definition.name] = metric
        return metric
    }

    /// Why there cannot be both.
    private static func conflict(
        _ definition: ScriptMetric.Definition, with known: ScriptMetric.Definition
    ) -> CallMessage? {
        if known.name == definition.name {
            if known == definition { return nil }
            return
                "the metric '\(known: known.name)' is a \(known: known.shape) already; this one has another shape"
        }
        guard let series = definition.seriesNames.first(where: known.seriesNames.contains) else { return nil }
        return "the metric and '\(known: known.name)' share the series '\(known: series)'"
    }
}

/// Why a policy cannot have what it asks for.
struct StateFault: Error {
    let message: CallMessage
    init(_ message: CallMessage) { self.message = message }
}
