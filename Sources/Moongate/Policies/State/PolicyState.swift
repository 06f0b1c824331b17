/// What the policies of all workers share, and what outlives them: one for the process.
final class PolicyState: Sendable {
    let clock = StateClock()
    let dicts: SharedDicts
    let slots = ConcurrencySlots()
    let overruns = OverrunLedger()

    init() { dicts = SharedDicts(clock: clock) }
}

/// What the policies of one host hold of the shared state, by name, so that it lives as long as the host.
final class PolicyHoldings {
    private(set) var dicts: [String: SharedDict] = [:]
    /// Limits that a policy has asked for, and which.
    private var limits: [String: (limits: SharedDict.Limits, file: String)] = [:]
    private(set) var metrics: [String: ScriptMetric] = [:]
    /// The file that is being loaded.
    var file = ""
    private let state: PolicyState

    init(_ state: PolicyState) { self.state = state }

    /// The policies go into force: dicts that live already take up the limits of this generation.
    func takeEffect() {
        for (name, wanted) in limits { dicts[name]?.use(wanted.limits) }
    }

    // MARK: Dicts

    /// - Parameter limits: `nil`: any.
    func dict(_ name: String, _ limits: SharedDict.Limits?) throws(StateFault) -> SharedDict {
        if let limits {
            if let known = self.limits[name], known.limits != limits {
                throw StateFault(
                    "the dict '\(known: name)' has other limits in \(known: known.file): they must be the same wherever they are given"
                )
            }
            self.limits[name] = (limits, file)
        }
        if let dict = dicts[name] { return dict }
        guard let dict = state.dicts.dict(name, limits ?? SharedDict.Limits()) else {
            throw StateFault("there is not enough memory for the dict '\(known: name)'")
        }
        dicts[name] = dict
        return dict
    }

    // MARK: Metrics

    /// Keeps the metric that `make` gives, unless there is one of this name, which must then have the same shape.
    func metric(_ definition: ScriptMetric.Definition, _ make: () -> ScriptMetric) throws(StateFault) -> ScriptMetric {
        if let known = metrics[definition.name] {
            guard known.definition == definition else {
                throw StateFault(
                    "the metric '\(known: known.definition.name)' is a \(known: known.definition.shape) already; this one has another shape"
                )
            }
            return known
        }
        for name in definition.seriesNames {
            for known in metrics.values where known.definition.seriesNames.contains(name) {
                throw StateFault(
                    "the metric and '\(known: known.definition.name)' share the series '\(known: name)'")
            }
        }
        let metric = make()
        metrics[definition.name] = metric
        return metric
    }
}

/// Why a policy cannot have what it asks for.
struct StateFault: Error {
    let message: CallMessage
    init(_ message: CallMessage) { self.message = message }
}
