/// Every counter of the process, found by name when a generation is built.
///
/// Names come from the configuration only, so the number of time series is bounded. A name's counters live as
/// long as some generation uses them: a reload that keeps a route keeps its numbers, and a removed route's series
/// end with its last request.
final class MetricsRegistry: Sendable {
    /// The counters of one name.
    final class Entry: Sendable {
        let name: String
        let block: CounterBlock
        init(name: String, block: CounterBlock) {
            self.name = name
            self.block = block
        }
    }

    private struct Reference {
        weak var entry: Entry?
    }

    /// One kind of thing that is counted, with its entries by name.
    final class Family: Sendable {
        private let columns: Int
        private let rows: Int
        private let references = Locked<[String: Reference]>([:])

        init(rows: Int, columns: Int) {
            self.rows = rows
            self.columns = columns
        }

        /// The living entry of this name, or a new one. The caller keeps it.
        func entry(_ name: String) -> Entry {
            references.withLock { references in
                if let entry = references[name]?.entry { return entry }
                let entry = Entry(name: name, block: CounterBlock(rows: rows, columns: columns))
                references[name] = Reference(entry: entry)
                return entry
            }
        }

        /// Entries in use, by name; forgets the others.
        func living() -> [Entry] {
            references.withLock { references in
                references = references.filter { $0.value.entry != nil }
                return references.values.compactMap(\.entry).sorted { $0.name < $1.name }
            }
        }
    }

    let workers: Int
    let routes: Family
    let upstreams: Family
    /// By `mirror(route:upstream:)`.
    let mirrors: Family
    let listeners: Family
    let policies: Family
    let process: ProcessMetrics
    let overload = OverloadState()
    /// What requests can do without may take so much.
    let copies = MemoryBudget()
    /// What policies count by themselves.
    let scripts: ScriptMetrics
    /// What policies share; its figures are shown with the counters.
    let state: PolicyState
    /// What workers share of upstreams.
    let sharedUpstreams: SharedUpstreams
    /// When the certificates of the generation in force end to be good.
    let certificates = Locked<[CertificateExpiry]>([])
    private let workerBlock: CounterBlock

    /// - Parameter workers: event loop threads, at least one; fixed for the life of the process.
    init(workers: Int) {
        self.workers = workers
        scripts = ScriptMetrics(rows: workers)
        state = PolicyState()
        routes = Family(rows: workers, columns: RouteCells.Column.count)
        upstreams = Family(rows: workers, columns: UpstreamCells.Column.count)
        sharedUpstreams = SharedUpstreams(upstreams)
        mirrors = Family(rows: workers, columns: MirrorCells.Column.count)
        // One more for the acceptor.
        listeners = Family(rows: workers + 1, columns: ListenerCells.Column.count)
        policies = Family(rows: workers, columns: PolicyCells.Column.count)
        process = ProcessMetrics()
        workerBlock = CounterBlock(rows: workers, columns: WorkerCells.Column.count)
    }

    /// What a worker counts apart from routes, upstreams, listeners and policies.
    func worker(_ index: Int) -> WorkerCells { WorkerCells(row: workerBlock.row(index)) }
}

/// Counters of one worker that belong to no name. The registry keeps the memory.
struct WorkerCells {
    enum Column {
        static let accessLogDrops = 0
        static let loopTurns = 1
        static let engineReplacements = 2
        static let oldGenerations = 3
        static let retiredStreams = 4
        static let stalls = 5
        static let isStalled = 6
        static let count = 7
    }

    let row: CounterRow

    /// Access log lines lost because the writer did not keep up.
    var accessLogDrops: Counter { row[Column.accessLogDrops] }
    /// Wake-ups of the event loop.
    var loopTurns: Counter { row[Column.loopTurns] }
    /// Script engines of earlier generations that streams still use.
    var oldGenerations: Counter { row[Column.oldGenerations] }
    /// Streams ended because their policies were replaced too long or too often ago.
    var retiredStreams: Counter { row[Column.retiredStreams] }
    /// Times that it was stuck in a turn; written by the control thread.
    var stalls: Counter { row[Column.stalls] }
    /// 1: it is stuck now; written by the control thread.
    var isStalled: Counter { row[Column.isStalled] }
    /// Script engines replaced because a policy wanted too much memory.
    var engineReplacements: Counter { row[Column.engineReplacements] }
}
