/// A generation as one worker uses it: what is shared and immutable, together with this worker's upstreams and
/// counters. Every exchange holds the one it began with, so that an old one ends with its last exchange.
final class WorkerGeneration {
    let shared: Generation
    /// This worker's counters, by the generation's indexes.
    let metrics: GenerationMetrics.WorkerView
    /// By the generation's index.
    private let upstreams: [Upstream]
    /// The same, for those who need not keep one.
    private let lentUpstreams: [Unmanaged<Upstream>]
    /// The same by name, for calls of policies.
    let directory: UpstreamDirectory
    /// The policies of the generation; `nil` without any.
    let policies: PolicySet?
    /// Keeps `policyView`.
    private let view: PolicyView?
    /// `nil` without policies.
    let policyView: Unmanaged<PolicyView>?
    /// Whether some route switches policies of its listeners off.
    let hasPolicyExceptions: Bool

    init(
        _ shared: Generation, metrics: GenerationMetrics.WorkerView, upstreams: [Upstream],
        directory: UpstreamDirectory, policies: PolicySet?
    ) {
        self.shared = shared
        self.metrics = metrics
        self.upstreams = upstreams
        lentUpstreams = upstreams.map { Unmanaged.passUnretained($0) }
        self.directory = directory
        self.policies = policies
        view = policies.map { _ in
            PolicyView(shared.config, routeTable: shared.routeTable, upstreams: upstreams)
        }
        policyView = view.map { Unmanaged.passUnretained($0) }
        hasPolicyExceptions = policies != nil && shared.program.hasExceptions
    }

    /// The same with other script engines of the same policies.
    func with(_ policies: PolicySet) -> WorkerGeneration {
        WorkerGeneration(
            shared, metrics: metrics, upstreams: upstreams, directory: directory, policies: policies)
    }

    var number: UInt64 { shared.number }

    /// - Parameter traits: those of the request's path.
    @inline(__always) func match(
        _ facts: ConnectionFacts, _ request: HeaderList, _ traits: PathTraits
    ) -> Int {
        shared.routeTable.match(listener: shared.listenerIndex(facts.listener), headers: request, traits)
    }

    @inline(__always) func route(_ index: Int) -> UnsafePointer<CompiledRoute> { shared.route(index) }
    @inline(__always) func upstream(_ index: Int) -> Upstream { upstreams[index] }

    /// Lends an upstream for the time of the call, without counting a reference.
    @inline(__always) func withUpstream<Result>(_ index: Int, _ body: (Upstream) -> Result) -> Result {
        lentUpstreams[index]._withUnsafeGuaranteedRef(body)
    }

    // MARK: Policies

    /// The generation is the worker's newest: timers run from now on, and call its upstreams.
    func startPolicies() { policies?.serve(directory) }

    var upstreamNames: Unmanaged<NameIndex> { Unmanaged.passUnretained(shared.upstreamNames) }

    @inline(__always) func listenerChain(_ listener: ListenerIdentity) -> PolicyChain? {
        policies == nil ? nil : shared.program.listenerChain(shared.listenerIndex(listener))
    }

    /// The listener's chain for requests of a route; -1: of none.
    func listenerChain(_ listener: ListenerIdentity, route: Int) -> PolicyChain? {
        policies == nil ? nil : shared.program.listenerChain(shared.listenerIndex(listener), route: route)
    }

    @inline(__always) func routeChain(_ route: Int) -> PolicyChain? {
        policies == nil ? nil : shared.program.routeChain(route)
    }

    /// Empty for -1.
    func policyName(_ instance: Int32) -> String {
        instance < 0 ? "" : shared.program.instance(Int(instance)).name
    }
}
