import CMoongate
import Logging
import MoongateLua

/// `moon.metrics`: counters, gauges and histograms that policies define while they load.
enum MetricsBinding {
    static var definitions: [PolicyClass] {
        let inc = LuaBinding(
            "inc", "n?t?", type: "(by?: number, labels?: table<string, string|number|boolean>)",
            doc: "Adds `by` (1), to the series of these labels."
        ) { MetricsBinding.add($0, sign: 1, "inc") }
        let add = LuaBinding(
            "add", "nt?", type: "(by: number, labels?: table<string, string|number|boolean>)",
            doc: "As `inc`."
        ) { MetricsBinding.add($0, sign: 1, "add") }
        let value = LuaBinding(
            "value", "t?", type: "(labels?: table<string, string|number|boolean>): number",
            doc: "The value over all workers.", MetricsBinding.value)
        let gauges = [
            LuaBinding(
                "set", "nt?", type: "(value: number, labels?: table<string, string|number|boolean>)",
                doc: "Sets the value, for all workers.", set),
            LuaBinding(
                "dec", "n?t?", type: "(by?: number, labels?: table<string, string|number|boolean>)",
                doc: "Subtracts `by` (1)."
            ) { MetricsBinding.add($0, sign: -1, "dec") },
            LuaBinding(
                "sub", "nt?", type: "(by: number, labels?: table<string, string|number|boolean>)",
                doc: "As `dec`."
            ) { MetricsBinding.add($0, sign: -1, "sub") },
        ]
        let histograms = [
            LuaBinding(
                "observe", "nt?", type: "(value: number, labels?: table<string, string|number|boolean>)",
                doc: "Counts a value in its bucket.", observe),
            LuaBinding(
                "recordValue", "nt?", type: "(value: number, labels?: table<string, string|number|boolean>)",
                doc: "Envoy's name of `observe`.", observe),
        ]
        return [
            make(PolicyClasses.counter, "counter", "A number that only grows.", [inc, add, value]),
            make(PolicyClasses.gauge, "gauge", "A number that rises and falls.", [inc, add, value] + gauges),
            make(PolicyClasses.histogram, "histogram", "How often values fell into which bucket.", histograms),
        ]
    }

    private static func make(
        _ number: UInt16, _ name: StaticString, _ summary: StaticString, _ bindings: [LuaBinding]
    ) -> PolicyClass {
        PolicyClass(
            number: number, name: name, summary: summary, bindings: bindings, release: ScriptCells.release)
    }

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "metrics.counter", "=sv?t?",
                type: "(name: string, help?: string|{help?: string, labels?: string[]}, labels?: string[]): Counter",
                doc: """
                    A counter in `/metrics` under this very name, with the names of its labels. While policies load \
                    only. Counters survive reloads; the same name with another shape is an error.
                    """, constructs: PolicyClasses.counter
            ) { MetricsBinding.define($0, .counter) },
            LuaBinding(
                "metrics.gauge", "=sv?t?",
                type: "(name: string, help?: string|{help?: string, labels?: string[]}, labels?: string[]): Gauge",
                doc: "A gauge, as `metrics.counter`.", constructs: PolicyClasses.gauge
            ) { MetricsBinding.define($0, .gauge) },
            LuaBinding(
                "metrics.histogram", "=sv?t?",
                type: """
                    (name: string, help?: string|{help?: string, labels?: string[], buckets?: number[]}, \
                    labels?: string[]): Histogram
                    """,
                doc: """
                    A histogram, as `metrics.counter`. `buckets` are upper bounds that ascend, at most 64; without \
                    them those for seconds from 0.005 to 10.
                    """, constructs: PolicyClasses.histogram
            ) { MetricsBinding.define($0, .histogram) },
        ]
    }

    // MARK: Defining

    /// For seconds, as Prometheus' own libraries have them.
    private static let seconds: [Double] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

    private static func define(_ call: BindingCall, _ kind: ScriptMetric.Kind) -> mg_action {
        guard let engine = call.engine else { return MG_RETURN }
        guard call.run == nil else {
            return call.fail("metrics are made while the policies load: at the top of the file or in on_init")
        }
        do throws(StateFault) {
            let (definition, help) = try definition(call, kind)
            let metric = try engine.resources.metric(definition, beside: engine.neighbours) {
                engine.services.registry.scripts.metric(definition, help: help)
            }
            call.pointee.created = Unmanaged.passRetained(ScriptCells(metric, engine: engine)).toOpaque()
            return MG_RETURN
        } catch {
            return call.fail("moon.metrics: \(error.message)")
        }
    }

    private static func definition(
        _ call: BindingCall, _ kind: ScriptMetric.Kind
    ) throws(StateFault) -> (ScriptMetric.Definition, help: String) {
        var definition = ScriptMetric.Definition(name: call.bytes(0).string, kind: kind)
        var help = ""
        switch call.value(1) {
        case .null: break
        case .string(let text): help = text
        case .some(let options):
            for (name, value) in try options.options() {
                switch (name, value) {
                case ("help", .string(let text)): help = text
                case ("labels", let list): definition.labels = try texts(list)
                case ("buckets", let list) where kind == .histogram: definition.buckets = try bounds(list)
                default:
                    let known = kind == .histogram ? ["buckets", "help", "labels"] : ["help", "labels"]
                    throw StateFault(.unknown("option", name, among: known))
                }
            }
        case nil: throw StateFault("help must be a text, or a table of options")
        }
        if !call.isAbsent(2) { definition.labels = try texts(call.value(2) ?? .null) }
        if kind == .histogram && definition.buckets.isEmpty { definition.buckets = seconds }
        try check(definition)
        return (definition, help)
    }

    private static func texts(_ value: LuaValue) throws(StateFault) -> [String] {
        if case .table(let entries) = value, entries.isEmpty { return [] }
        guard case .list(let values) = value else { throw StateFault("labels must be a list of names") }
        var texts: [String] = []
        for value in values {
            guard case .string(let text) = value else { throw StateFault("labels must be a list of names") }
            texts.append(text)
        }
        return texts
    }

    private static func bounds(_ value: LuaValue) throws(StateFault) -> [Double] {
        guard case .list(let values) = value, values.count <= 64 else {
            throw StateFault("buckets must be a list of at most 64 numbers")
        }
        let bounds = values.compactMap(\.double)
        guard bounds.count == values.count, bounds.allSatisfy(\.isFinite),
            zip(bounds, bounds.dropFirst()).allSatisfy({ $0 < $1 })
        else { throw StateFault("buckets must be numbers that ascend") }
        return bounds
    }

    /// Prometheus' rules for names, and ours: what the edge counts itself is not to be confused with anything.
    private static func check(_ definition: ScriptMetric.Definition) throws(StateFault) {
        guard isName(definition.name, colon: true), definition.name.utf8.count <= 128 else {
            throw StateFault("argument 1 is no name of a metric: letters, digits and '_'")
        }
        for prefix in ["moongate_", "process_", "lua_"] where definition.name.hasPrefix(prefix) {
            throw StateFault("names that begin with \(known: prefix) are the edge's own")
        }
        guard definition.labels.count <= 8 else { throw StateFault("at most 8 labels") }
        for (index, label) in definition.labels.enumerated() {
            guard isName(label, colon: false), !label.hasPrefix("__"), label != "le", label.utf8.count <= 64 else {
                throw StateFault("label \(index + 1) is no name of a label")
            }
            if definition.labels[..<index].contains(label) { throw StateFault("label \(index + 1) occurs twice") }
        }
    }

    private static func isName(_ name: String, colon: Bool) -> Bool {
        guard let first = name.utf8.first, !(48...57).contains(first) else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                true
            default: colon && byte == UInt8(ascii: ":")
            }
        }
    }

    // MARK: Counting

    @inline(__always) private static func cells(_ call: BindingCall) -> ScriptCells? {
        call.pointee.object?.pointee.native.map { Unmanaged<ScriptCells>.fromOpaque($0).takeUnretainedValue() }
    }

    private static func refuseLabels(_ call: BindingCall, _ cells: ScriptCells) -> mg_action {
        let definition = cells.metric.definition
        guard !definition.labels.isEmpty else {
            return call.fail("the metric '\(known: definition.name)' has no labels")
        }
        return call.fail(
            "the metric '\(known: definition.name)' needs the labels \(known: definition.labels)")
    }

    private static func add(_ call: BindingCall, sign: Double, _ method: StaticString) -> mg_action {
        guard let cells = cells(call) else { return MG_RETURN }
        let kind = cells.metric.definition.kind
        var amount = call.isAbsent(0) ? 1 : call.pointee.arguments[0].number
        guard amount.isFinite else { return call.fail("\(kind) \(method) amount must be a finite number") }
        if amount < 0 && (kind == .counter || cells.isEnvoy) {
            return call.fail("\(kind) \(method) amount must be non-negative")
        }
        if cells.isEnvoy { amount = amount.rounded(.towardZero) }
        guard let block = cells.block(call, labelsAt: 1) else { return refuseLabels(call, cells) }
        if kind == .gauge {
            block.row(0)[0].addShared(number: sign * amount)
        } else {
            block.row(cells.worker)[0].add(number: amount)
        }
        return MG_RETURN
    }

    private static let set: mg_leaf = { call in
        guard let cells = cells(call) else { return MG_RETURN }
        var value = call.pointee.arguments[0].number
        if cells.isEnvoy && value < 0 { return call.fail("gauge set value must be non-negative") }
        if cells.isEnvoy { value = value.rounded(.towardZero) }
        guard let block = cells.block(call, labelsAt: 1) else { return refuseLabels(call, cells) }
        block.row(0)[0].set(value.bitPattern)
        return MG_RETURN
    }

    private static let value: mg_leaf = { call in
        guard let cells = cells(call) else { return MG_RETURN }
        guard let block = cells.block(call, labelsAt: 0) else { return refuseLabels(call, cells) }
        let total = block.numberTotal(0)
        if let whole = Int64(exactly: total) { call.give(whole) } else { call.give(total) }
        return MG_RETURN
    }

    private static let observe: mg_leaf = { call in
        guard let cells = cells(call) else { return MG_RETURN }
        let value = call.pointee.arguments[0].number
        guard value.isFinite else { return call.fail("histogram value must be a finite number") }
        if cells.isEnvoy && value < 0 { return call.fail("histogram value must be non-negative") }
        guard let block = cells.block(call, labelsAt: 1) else { return refuseLabels(call, cells) }
        let bounds = cells.metric.definition.buckets
        let row = block.row(cells.worker)
        row[bounds.firstIndex { value <= $0 } ?? bounds.count].add()
        row[bounds.count + 1].add(number: value)
        return MG_RETURN
    }
}

/// A metric as one worker's scripts count in it: finds a series without a lock once it has been met.
final class ScriptCells {
    let metric: ScriptMetric
    let worker: Int
    /// Made by `stats()`: whole numbers, none of them negative.
    let isEnvoy: Bool
    private let logger: Logger
    private let limit: Int
    /// The series without labels.
    private let plain: ScriptMetric.Series?
    /// Series met before, by the hash of what stands in `key`.
    private var known: [UInt64: (key: [UInt8], series: ScriptMetric.Series)] = [:]

    private static let longestLabel = 256

    init(_ metric: ScriptMetric, engine: PolicyEngine, isEnvoy: Bool = false) {
        self.metric = metric
        self.isEnvoy = isEnvoy
        logger = engine.services.logger
        worker = engine.services.worker
        limit = engine.unit.terms.metricSeries
        plain = metric.definition.labels.isEmpty ? metric.series([], limit: .max).series : nil
    }

    static let release: @convention(c) (UnsafeMutableRawPointer) -> Void = {
        Unmanaged<ScriptCells>.fromOpaque($0).release()
    }

    /// The cells of the labels in a table argument; `nil`: they are not those of the metric.
    func block(_ call: BindingCall, labelsAt index: Int) -> CounterBlock? {
        if let plain { return call.isAbsent(index) ? plain.block : nil }
        guard call.pointee.arguments[index].kind == MG_TABLE else { return nil }
        let labels = metric.definition.labels
        let room = labels.count * (ScriptCells.longestLabel + 2)
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: room) { buffer in
            guard let base = buffer.baseAddress, let count = write(call, index, to: base) else { return nil }
            let key = Bytes(UnsafePointer(base), count)
            let hash = StableHash.hash(key)
            if let found = known[hash], found.key.elementsEqual(key.buffer) { return found.series.block }
            return meet(key, hash).block
        }
    }

    /// The values of the labels in the metric's order, each behind its length; `nil`: labels are missing or too many.
    private func write(_ call: BindingCall, _ index: Int, to base: UnsafeMutablePointer<UInt8>) -> Int? {
        guard let values = call.pointee.input.pointee.values else { return nil }
        let start = Int(call.integer(index)) + 1
        var place = 0
        for label in metric.definition.labels {
            guard let value = find(label, in: values, from: start) else { return nil }
            let count = ScriptCells.print(value, to: base + place + 2)
            guard let count else { return nil }
            base[place] = UInt8(truncatingIfNeeded: count)
            base[place + 1] = UInt8(truncatingIfNeeded: count >> 8)
            place += 2 + count
        }
        let end = start + 2 * metric.definition.labels.count
        return values[end].kind == MG_END ? place : nil
    }

    private func find(_ label: String, in values: UnsafeMutablePointer<mg_value>, from start: Int) -> mg_value? {
        var place = start
        while values[place].kind == MG_STRING, let name = values[place].bytes {
            let bytes = Bytes(name, Int(values[place].size))
            if label.withBytes({ $0.equals(bytes) }) { return values[place + 1] }
            // A nested table is no value of a label; what follows it is not looked at.
            if values[place + 1].kind == MG_TABLE { return nil }
            place += 2
        }
        return nil
    }

    /// At most 256 bytes; `nil`: no text, number or boolean.
    private static func print(_ value: mg_value, to target: UnsafeMutablePointer<UInt8>) -> Int? {
        switch value.kind {
        case MG_STRING:
            guard let bytes = value.bytes else { return 0 }
            var count = min(Int(value.size), longestLabel)
            // Not in the middle of a character.
            if count < Int(value.size) { while count > 0 && bytes[count] & 0xC0 == 0x80 { count -= 1 } }
            target.update(from: bytes, count: count)
            return count
        case MG_INTEGER, MG_NUMBER: return Int(mg_print_number(value, target))
        case MG_BOOLEAN:
            let text: StaticString = value.boolean ? "true" : "false"
            target.update(from: text.utf8Start, count: text.utf8CodeUnitCount)
            return text.utf8CodeUnitCount
        default: return nil
        }
    }

    /// A combination that this worker has not met: asks the metric, which all workers share.
    private func meet(_ key: Bytes, _ hash: UInt64) -> ScriptMetric.Series {
        var values: [String] = []
        var place = 0
        while place < key.count {
            let count = Int(key[place]) | Int(key[place + 1]) << 8
            values.append(key[place + 2..<place + 2 + count].string)
            place += 2 + count
        }
        let (series, isOverflow) = metric.series(values, limit: limit)
        if !isOverflow {
            known[hash] = (Array(key.buffer), series)
        } else if metric.shouldWarn() {
            logger.warning(
                "metric \(metric.definition.name) has \(limit) series; further ones are counted as '_overflow'",
                metadata: ["setting": "policies.metric_series"])
        }
        return series
    }
}
