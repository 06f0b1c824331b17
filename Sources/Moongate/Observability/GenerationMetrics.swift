/// The counters of one generation, laid out so that a worker finds each by a plain index.
///
/// Indices are those of the generation's own lists. Kept by the generation; it keeps the named counters alive.
final class GenerationMetrics: Sendable {
    /// The name under which requests without a route are counted.
    static let unmatched = "none"

    private let entries: [MetricsRegistry.Entry]
    private let views: [WorkerView]
    private let exchangeBlock: CounterBlock

    /// What one worker uses of a generation's counters: trivial, valid while the generation lives.
    struct WorkerView: Sendable {
        /// Route rows with the unmatched one first, then upstreams, listeners, policies.
        fileprivate let rows: UnsafeRows
        fileprivate let upstreams: Int
        fileprivate let listeners: Int
        fileprivate let policies: Int
        /// Exchanges of the generation that have not ended.
        let exchanges: Counter

        /// - Parameter index: the route's, or -1 when no route matched.
        @inline(__always) func route(_ index: Int) -> RouteCells { RouteCells(row: rows[index + 1]) }
        @inline(__always) func upstream(_ index: Int) -> UpstreamCells {
            UpstreamCells(row: rows[upstreams + index])
        }
        @inline(__always) func listener(_ index: Int) -> ListenerCells {
            ListenerCells(row: rows[listeners + index])
        }
        @inline(__always) func policy(_ index: Int) -> PolicyCells { PolicyCells(row: rows[policies + index]) }
    }

    /// - Parameters: names in the order of the generation's lists. A name may occur more than once, for example a
    ///   policy used with two sets of settings: both then share its counters.
    init(
        registry: MetricsRegistry, routes: [String], upstreams: [String], listeners: [String], policies: [String]
    ) {
        let entries =
            ([GenerationMetrics.unmatched] + routes).map(registry.routes.entry)
            + upstreams.map(registry.upstreams.entry)
            + listeners.map(registry.listeners.entry)
            + policies.map(registry.policies.entry)
        self.entries = entries
        let exchangeBlock = CounterBlock(rows: registry.workers, columns: 1)
        self.exchangeBlock = exchangeBlock
        views = (0..<registry.workers).map { worker in
            WorkerView(
                rows: UnsafeRows(entries.map { $0.block.row(worker) }),
                upstreams: 1 + routes.count,
                listeners: 1 + routes.count + upstreams.count,
                policies: 1 + routes.count + upstreams.count + listeners.count,
                exchanges: exchangeBlock.row(worker)[0])
        }
    }

    /// Exchanges of the generation that have not ended, over all workers.
    var exchanges: Int { Int(Int64(bitPattern: exchangeBlock.total(0))) }

    func worker(_ index: Int) -> WorkerView { views[index] }

    deinit {
        for view in views { view.rows.deallocate() }
    }
}
