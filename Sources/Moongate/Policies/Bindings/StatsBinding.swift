import CMoongate
import MoongateLua

/// `handle:stats()`, Envoy's way to count. Names come into being as scripts use them; in `/metrics` they begin with
/// `lua_`, and what is neither letter nor digit is `_`.
enum StatsBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.stats, name: "stats",
            summary: """
                Envoy's counters, gauges and histograms, made by their names when they are first used. `a.b-c` stands \
                in `/metrics` as `lua_a_b_c`. New policies use `moon.metrics`.
                """,
            bindings: [
                LuaBinding(
                    "counter", "=s", type: "(name: string): Counter", doc: "The counter of this name.",
                    constructs: PolicyClasses.counter
                ) { StatsBinding.make($0, .counter, buckets: []) },
                LuaBinding(
                    "gauge", "=s", type: "(name: string): Gauge", doc: "The gauge of this name.",
                    constructs: PolicyClasses.gauge
                ) { StatsBinding.make($0, .gauge, buckets: []) },
                LuaBinding(
                    "histogram", "=ss?", type: "(name: string, unit?: string): Histogram",
                    doc: """
                        The histogram of this name. The unit is `ms`, `milliseconds`, `microseconds`, `nanoseconds`, \
                        `bytes` or `unspecified`; values are shown in it as they are.
                        """, constructs: PolicyClasses.histogram, histogram),
            ])
    }

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "stats", "", type: "(): Stats", doc: "Envoy's counters, gauges and histograms by name.", stats)
        ]
    }

    private static let stats: mg_leaf = { call in
        call.give(call.run?.lend(.stats))
        return MG_RETURN
    }

    /// Envoy's own bounds.
    private static let bounds: [Double] = [
        0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
        3_600_000,
    ]

    private static let units = ["", "ms", "milliseconds", "microseconds", "nanoseconds", "bytes", "unspecified"]

    private static let histogram: mg_leaf = { call in
        let unit = call.bytes(1).string
        guard units.contains(unit) else {
            return call.fail(
                """
                invalid histogram unit, expected 'ms', 'milliseconds', 'microseconds', 'nanoseconds', 'bytes', or \
                'unspecified'
                """)
        }
        return make(call, .histogram, buckets: bounds)
    }

    private static func make(_ call: BindingCall, _ kind: ScriptMetric.Kind, buckets: [Double]) -> mg_action {
        guard let engine = call.engine else { return MG_RETURN }
        var name = "lua_"
        for byte in call.bytes(0).buffer.prefix(200) {
            let isPlain = (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            name.unicodeScalars.append(isPlain ? Unicode.Scalar(byte) : "_")
        }
        // Names may hold what callers send: their number is bounded like that of labels.
        if engine.resources.metrics[name] == nil && engine.resources.metrics.count >= engine.unit.terms.metricSeries {
            name = "lua_overflow_\(kind.rawValue)"
        }
        let definition = ScriptMetric.Definition(name: name, kind: kind, buckets: buckets)
        do throws(StateFault) {
            let metric = try engine.resources.metric(definition, beside: engine.neighbours) {
                engine.services.registry.scripts.metric(definition, help: "")
            }
            call.pointee.created = Unmanaged.passRetained(ScriptCells(metric, engine: engine, isEnvoy: true)).toOpaque()
            return MG_RETURN
        } catch {
            return call.fail(error.message)
        }
    }
}
