import Synchronization

/// A metric that policies define: one series for each combination of its labels' values, counted by every worker in
/// cells of its own.
final class ScriptMetric: Sendable {
    enum Kind: String, Sendable, CaseIterable {
        case counter, gauge, histogram
    }

    /// What makes two definitions the same metric.
    struct Definition: Sendable, Hashable {
        var name: String
        var kind: Kind
        var labels: [String] = []
        /// Upper bounds of a histogram's buckets, ascending, without the infinite one.
        var buckets: [Double] = []

        /// For messages.
        var shape: String {
            let labels = labels.isEmpty ? "" : " with the labels \(self.labels.joined(separator: ", "))"
            return kind.rawValue + labels + (kind == .histogram ? " and \(buckets.count) buckets" : "")
        }

        /// The names that its samples have.
        var seriesNames: [String] {
            [name] + (kind == .histogram ? ["\(name)_bucket", "\(name)_sum", "\(name)_count"] : [])
        }
    }

    /// The cells of one combination of labels.
    final class Series: Sendable {
        let values: [String]
        let block: CounterBlock
        init(values: [String], block: CounterBlock) {
            self.values = values
            self.block = block
        }
    }

    private struct State {
        var series: [[String]: Series] = [:]
        var help = ""
    }

    let definition: Definition
    /// Counts up with every metric of the process: of two with one name, the later belongs to the later generation.
    let number: UInt64
    private let rows: Int
    private let state = Locked(State())
    private let warned = Atomic<Bool>(false)

    /// The value of every label of the series for what is beyond the limit.
    static let overflow = "_overflow"

    init(_ definition: Definition, number: UInt64, rows: Int) {
        self.definition = definition
        self.number = number
        self.rows = rows
    }

    var help: String {
        get { state.withLock { $0.help } }
        set { state.withLock { $0.help = newValue } }
    }

    /// Counts of a histogram's buckets, the infinite one last, then the sum; else the value.
    private var columns: Int { definition.kind == .histogram ? definition.buckets.count + 2 : 1 }

    /// The series of these values; `isOverflow`: there are `limit` others, and this one stands for all further ones.
    func series(_ values: [String], limit: Int) -> (series: Series, isOverflow: Bool) {
        state.withLock { state in
            if let known = state.series[values] { return (known, false) }
            let isOverflow = state.series.count >= limit
            let values = isOverflow ? values.map { _ in ScriptMetric.overflow } : values
            if let known = state.series[values] { return (known, isOverflow) }
            let made = Series(values: values, block: CounterBlock(rows: rows, columns: columns))
            state.series[values] = made
            return (made, isOverflow)
        }
    }

    /// True for the first caller: what is wrong is said once.
    func shouldWarn() -> Bool { !warned.exchange(true, ordering: .relaxed) }

    /// By the labels' values.
    var all: [Series] {
        state.withLock { state in state.series.values.sorted { $0.values.lexicographicallyPrecedes($1.values) } }
    }
}

/// The metrics that policies have defined, by shape. One lives as long as some generation uses it, so that counters
/// survive reloads.
final class ScriptMetrics: Sendable {
    private struct Reference {
        weak var metric: ScriptMetric?
    }

    private struct State {
        var references: [ScriptMetric.Definition: Reference] = [:]
        var made: UInt64 = 0
    }

    private let rows: Int
    private let state = Locked(State())

    init(rows: Int) { self.rows = rows }

    /// The living metric of this shape, or a new one. The caller keeps it.
    func metric(_ definition: ScriptMetric.Definition, help: String) -> ScriptMetric {
        let rows = rows
        let metric = state.withLock { state in
            if let metric = state.references[definition]?.metric { return metric }
            state.made += 1
            let metric = ScriptMetric(definition, number: state.made, rows: rows)
            state.references[definition] = Reference(metric: metric)
            return metric
        }
        if !help.isEmpty { metric.help = help }
        return metric
    }

    /// What `/metrics` shows, by name. While an old generation ends, two shapes of one name may live: the newer.
    func shown() -> [ScriptMetric] {
        state.withLock { state in
            state.references = state.references.filter { $0.value.metric != nil }
            var newest: [String: ScriptMetric] = [:]
            for metric in state.references.values.compactMap(\.metric) {
                let known = newest[metric.definition.name]
                if metric.number > known?.number ?? 0 { newest[metric.definition.name] = metric }
            }
            return newest.values.sorted { $0.definition.name < $1.definition.name }
        }
    }
}

extension ScriptMetrics {
    func write(to text: inout PrometheusText) {
        for metric in shown() {
            let definition = metric.definition
            text.family(definition.name, PrometheusText.Kind(definition.kind), metric.help)
            for series in metric.all {
                let labels = Array(zip(definition.labels, series.values))
                if definition.kind == .histogram {
                    text.histogram(labels, series.block, bounds: definition.buckets)
                } else {
                    text.sample(labels, series.block.numberTotal(0))
                }
            }
        }
    }
}

extension PrometheusText.Kind {
    init(_ kind: ScriptMetric.Kind) {
        switch kind {
        case .counter: self = .counter
        case .gauge: self = .gauge
        case .histogram: self = .histogram
        }
    }
}

extension PrometheusText {
    /// Buckets, sum and count of a histogram whose cells hold the counts of `bounds`, of everything beyond, and the
    /// sum, over all threads.
    mutating func histogram(_ labels: [(String, String)], _ block: CounterBlock, bounds: [Double], first: Int = 0) {
        var count: UInt64 = 0
        for (index, bound) in bounds.enumerated() {
            count += block.total(first + index)
            sample(labels + [("le", PrometheusText.number(bound))], suffix: "_bucket", count)
        }
        count += block.total(first + bounds.count)
        sample(labels + [("le", "+Inf")], suffix: "_bucket", count)
        sample(labels, suffix: "_sum", block.numberTotal(first + bounds.count + 1))
        sample(labels, suffix: "_count", count)
    }
}
