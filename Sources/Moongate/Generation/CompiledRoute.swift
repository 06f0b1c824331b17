import MoongateConfig

/// What a request needs of its route once it is found. Trivial, so that looking at one field copies and retains nothing.
struct CompiledRoute: BitwiseCopyable {
    /// Kept by the generation.
    let name: Bytes
    /// Nanoseconds, 0 for none.
    let timeout: UInt64
    let idleTimeout: UInt64
    let absentGRPCTimeout: UInt64
    let longestGRPCTimeout: UInt64
    /// The rules for paths on the route.
    let allowedTraits: PathTraits
    let retry: RetryPlan
    /// `nil`: none. Kept by the route.
    let mirrors: Unmanaged<RouteMirrors>?
    /// Which methods the route hedges; kept by the route.
    private let hedgedMethods: Unmanaged<HedgedMethods>?
    /// What the route changes of requests and responses; `nil`: nothing.
    let edits: Unmanaged<RouteEdits>?
    /// Indexes of the generation's upstreams, one per choice.
    private let upstreams: FlatArray<Int32>
    private let choice: WeightedChoice

    /// - Parameters:
    ///   - upstreams: where each of the route's upstreams stands in the generation.
    ///   - mirrors: `nil`: it has none.
    init(_ config: RouteConfig, upstreams: [Int32], edits: RouteEdits?, mirrors: RouteMirrors?) {
        name = Bytes.allocated(config.name)
        timeout = config.timeout.nanoseconds
        idleTimeout = config.idleTimeout.nanoseconds
        absentGRPCTimeout = config.grpcTimeout.absent.nanoseconds
        longestGRPCTimeout = config.grpcTimeout.maximum.nanoseconds
        allowedTraits = PathTraits.allowed(by: config)
        retry = config.retry.map { RetryPlan($0) } ?? config.hedge.map { RetryPlan($0) } ?? RetryPlan()
        hedgedMethods = config.hedge.map { Unmanaged.passRetained(HedgedMethods($0)) }
        self.mirrors = mirrors.map { Unmanaged.passRetained($0) }
        self.edits = edits.map { Unmanaged.passRetained($0) }
        self.upstreams = FlatArray(copying: upstreams)
        choice = WeightedChoice(weights: config.upstreams.map(\.weight))
    }

    /// The upstream that `random` stands for; `nil` if all weights are 0.
    @inline(__always) func pickUpstream(_ random: UInt64) -> Int? {
        choice.pick(random).map { Int(upstreams[Int32($0)]) }
    }

    /// Whether a further attempt may follow, or be made beside, the first one at `path`.
    @inline(__always) func mayFollow(_ path: @autoclosure () -> Bytes) -> Bool {
        guard retry.isEnabled else { return false }
        guard let hedgedMethods else { return true }
        return hedgedMethods._withUnsafeGuaranteedRef { $0.contain(path()) }
    }

    func free() {
        hedgedMethods?.release()
        mirrors?.release()
        name.base.deallocate()
        edits?.release()
        upstreams.free()
        choice.free()
    }
}

/// The methods that are marked as safe to repeat.
private final class HedgedMethods {
    /// `nil`: none, as the configuration's patterns are sound.
    private let methods: MethodSet?

    init(_ config: HedgeConfig) { methods = try? MethodSet(config.methods) }

    func contain(_ path: Bytes) -> Bool { methods?.contains(path) ?? false }
}
