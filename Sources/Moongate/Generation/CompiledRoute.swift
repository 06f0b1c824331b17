import MoongateConfig

/// What a request needs of its route once it is found.
struct CompiledRoute {
    /// Kept by the generation.
    let name: Bytes
    /// Nanoseconds, 0 for none.
    let timeout: UInt64
    /// Indexes of the generation's upstreams, one per choice.
    private let upstreams: FlatArray<Int32>
    private let choice: WeightedChoice

    /// - Parameter upstreams: where each of the route's upstreams stands in the generation.
    init(_ config: RouteConfig, upstreams: [Int32]) {
        name = Bytes.allocated(config.name)
        timeout = config.timeout.nanoseconds
        self.upstreams = FlatArray(copying: upstreams)
        choice = WeightedChoice(weights: config.upstreams.map(\.weight))
    }

    /// The upstream that `random` stands for; `nil` if all weights are 0.
    @inline(__always) func pickUpstream(_ random: UInt64) -> Int? {
        choice.pick(random).map { Int(upstreams[Int32($0)]) }
    }

    func free() {
        name.base.deallocate()
        upstreams.free()
    }
}
