import MoongateConfig
import MoongateLua

/// The policies of one configuration: which units there are, and which of their instances run where. Immutable, shared by workers.
///
/// An instance is a file with settings. The same file with the same settings is the same instance wherever it is
/// named, so that an exchange which changes its route runs it once.
final class PolicyProgram: @unchecked Sendable {
    // Unchecked because of the chains, which are written in `init` only.

    /// Where an instance is: its unit in `units`, and its place in that.
    struct Place: Sendable {
        var unit: Int
        var index: Int
    }

    let units: [PolicyUnit]
    /// By the unit; those of a unit that goes on are in force once the program is.
    private let loadTimes: [PolicyUnit.LoadTimes]
    /// By the number that chains have for an instance.
    let places: [Place]
    /// Bytes that all script engines of a worker may hold.
    let memoryLimit: Int
    /// The upstreams of the configuration that the program was made from.
    let upstreams: Set<String>
    /// Instance numbers in order, by the configuration's listeners and routes.
    private let listenerChains: [PolicyChain]
    private let routeChains: [PolicyChain]
    /// Listeners' chains on routes that switch some policies off.
    private let exceptions: [Exemption: PolicyChain]

    private struct Exemption: Hashable {
        var listener: Int
        var route: Int
    }

    init(_ plan: PolicyPlan, units: [PolicyUnit]) {
        self.units = units
        loadTimes = plan.units.map(\.loadTimes)
        places = plan.places
        memoryLimit = plan.memoryLimit
        upstreams = plan.upstreams
        listenerChains = plan.listenerChains.map { PolicyChain(copying: $0) }
        routeChains = plan.routeChains.map { PolicyChain(copying: $0) }
        exceptions = Dictionary(
            plan.exceptions.map { item in
                (Exemption(listener: item.listener, route: item.route), PolicyChain(copying: item.chain))
            }, uniquingKeysWith: { first, _ in first })
    }

    deinit {
        for chain in listenerChains + routeChains + exceptions.values { chain.free() }
    }

    /// The program is in force from now on.
    func takeEffect() { for (unit, times) in zip(units, loadTimes) { unit.use(times) } }

    /// No route and no listener has a policy.
    var isEmpty: Bool { places.isEmpty }

    /// The instance of a number.
    func instance(_ number: Int) -> PolicyUnit.Instance { units[places[number].unit].instances[places[number].index] }

    /// All instances, by their numbers.
    var instances: [PolicyUnit.Instance] { places.indices.map { instance($0) } }

    /// - Parameter index: of the listener or route in the configuration; -1 gives the empty chain.
    func listenerChain(_ index: Int) -> PolicyChain? { index >= 0 ? listenerChains[index] : nil }

    /// Whether some route switches policies of its listeners off.
    var hasExceptions: Bool { !exceptions.isEmpty }

    /// The listener's chain for requests of a route; -1: of none.
    func listenerChain(_ index: Int, route: Int) -> PolicyChain? {
        exceptions[Exemption(listener: index, route: route)] ?? listenerChain(index)
    }

    func routeChain(_ index: Int) -> PolicyChain? { index >= 0 ? routeChains[index] : nil }
}

/// The instances that run on one listener or route, in order. Kept by the program.
typealias PolicyChain = FlatArray<Int32>

extension PolicyProgram {
    /// What `make` gives.
    struct Made {
        var program: PolicyProgram
        /// The first worker's engines of those units that are new.
        var engines: [PolicyEngine]
    }

    /// Finds, loads and initialises all policies of a configuration.
    ///
    /// - Parameters:
    ///   - folder: of the configuration file.
    ///   - shipped: folder of the policies that ship; searched last.
    ///   - previous: the program in force. Units of it that would come out the same go on, with their engines.
    ///   - services: for the first worker's engines.
    /// - Throws: everything that is wrong, in one list.
    static func make(
        _ config: Configuration, folder: String, shipped: String?, loader: PolicySourceLoader,
        previous: PolicyProgram? = nil, services: PolicyServices
    ) throws(DiagnosticList) -> Made {
        let plan = try PolicyPlan(config, folder: folder, shipped: shipped, loader: loader)
        // Once, and also where no policy asks for them: each of them would say the same.
        _ = try PolicySecrets.read(config.secrets, PolicyFileRecord(loader))
        var units: [PolicyUnit] = []
        var engines: [PolicyEngine] = []
        var faults: [Diagnostic] = []
        for draft in plan.units {
            if let known = previous?.units.first(where: { $0.serves(draft, plan.upstreams, loader) }) {
                units.append(known)
                continue
            }
            do throws(DiagnosticList) {
                let record = PolicyFileRecord(loader, previous: previous?.units ?? [])
                let engine = try PolicyEngine(draft, record: record, upstreams: plan.upstreams, services: services)
                units.append(engine.unit)
                engines.append(engine)
            } catch {
                faults += error.diagnostics
            }
        }
        guard faults.isEmpty else { throw DiagnosticList(faults) }
        let program = PolicyProgram(plan, units: units)
        faults = program.memoryFaults + PolicyResources.conflicts(among: units)
        guard faults.isEmpty else { throw DiagnosticList(faults) }
        return Made(program: program, engines: engines)
    }

    /// Each policy must leave room for its runs, and all of them together for what they are to do.
    private var memoryFaults: [Diagnostic] {
        let full = units.filter { $0.findings.memory > $0.file.memoryLimit / 4 * 3 }.map { unit in
            Diagnostic(
                location: SourceLocation(file: unit.file.path, line: 0, column: 0),
                message:
                    "the policy holds \(unit.findings.memory) bytes once it is loaded, more than three quarters of its"
                    + " memory limit (\(unit.file.memoryLimit)): no calls could begin",
                hint: "memory_limit where the policy is named, or policies.policy_memory_limit, gives it more")
        }
        let held = units.reduce(0) { $0 + $1.findings.memory }
        guard full.isEmpty, held > memoryLimit else { return full }
        return [
            Diagnostic(
                location: .unknown,
                message:
                    "the policies hold \(held) bytes once they are loaded, more than policies.memory_limit (\(memoryLimit))",
                hint: "each worker keeps a script engine for each policy file")
        ]
    }
}
