import MoongateConfig

/// The policies of all living generations, with what their statistics say.
struct PolicyReport {
    private struct Row {
        let instance: PolicyUnit.Instance
        let path: String
        let isServing: Bool
        let listeners: [String]
        let routes: [String]
        let summary: PolicyStats.Summary
    }

    private let report: EdgeReport
    private let serving: UInt64
    private let rows: [Row]

    init(_ report: EdgeReport) {
        self.report = report
        let living = report.generationRegistry.living()
        serving = living.first?.generation.number ?? 0
        var seen: Set<ObjectIdentifier> = []
        // What goes on unchanged over a reload is shown once, as part of the newest generation.
        rows = living.flatMap { entry in
            PolicyReport.rows(entry.generation, isServing: entry.isServing).filter { row in
                seen.insert(ObjectIdentifier(row.instance.stats)).inserted
            }
        }
    }

    private static func rows(_ generation: Generation, isServing: Bool) -> [Row] {
        let program = generation.program
        return program.instances.enumerated().map { index, instance in
            let runs = { (chain: PolicyChain?) in
                chain.map { chain in (0..<chain.count).contains { chain[$0] == Int32(index) } } ?? false
            }
            return Row(
                instance: instance, path: program.units[program.places[index].unit].file.path, isServing: isServing,
                listeners: generation.config.listeners.enumerated().filter { runs(program.listenerChain($0.offset)) }
                    .map(\.element.name),
                routes: generation.config.routes.enumerated().filter { runs(program.routeChain($0.offset)) }
                    .map(\.element.name),
                summary: instance.stats.summary)
        }
    }

    // MARK: JSON

    var json: JSONValue {
        .object(
            [("generation", .integer(Int(clamping: serving)))] + report.reloads
                + [("policies", .array(rows.map(PolicyReport.json)))])
    }

    private static func json(_ row: Row) -> JSONValue {
        .object([
            ("name", .string(row.instance.name)),
            ("file", .string(row.path)),
            ("hash", .string("sha256:\(row.summary.hash)")),
            ("generation", .integer(Int(clamping: row.summary.generation))),
            ("state", .string(row.isServing ? "serving" : "ending")),
            ("loaded_at", .string(EdgeReport.time(row.summary.loadedAt))),
            ("on_error", .string(row.instance.onError.rawValue)),
            ("listeners", .array(row.listeners.map { .string($0) })),
            ("routes", .array(row.routes.map { .string($0) })),
            ("hooks", .object(row.summary.hooks.map { ($0.hook.label, json($0)) })),
            ("memory_peak_bytes", .integer(Int(clamping: row.summary.peakMemory))),
            ("last_error", optional(row.summary.lastError, json)),
            (
                "reload_failures",
                .object([
                    ("count", .integer(Int(clamping: row.summary.reloadFailures))),
                    ("last", optional(row.summary.lastReloadFailure, json)),
                ])
            ),
        ])
    }

    private static func json(_ hook: PolicyStats.HookFigures) -> JSONValue {
        .object([
            ("runs", .integer(Int(clamping: hook.runs))),
            ("replies", .integer(Int(clamping: hook.replies))),
            ("errors", .object(hook.errors.map { ($0.reason.label, .integer(Int(clamping: $0.count))) })),
            (
                "time_us",
                .object([
                    ("samples", .integer(Int(clamping: hook.times.samples))),
                    ("p50", .literal(microseconds(hook.times.median))),
                    ("p99", .literal(microseconds(hook.times.percentile99))),
                    ("max", .literal(microseconds(hook.times.longest))),
                ])
            ),
        ])
    }

    private static func json(_ failure: PolicyStats.Failure) -> JSONValue {
        var members: [(key: String, value: JSONValue)] = [("at", .string(EdgeReport.time(failure.at)))]
        if let hook = failure.hook { members.append(("hook", .string(hook.label))) }
        if !failure.reason.isEmpty { members.append(("reason", .string(failure.reason))) }
        members.append(("message", .string(failure.message)))
        if !failure.traceback.isEmpty { members.append(("traceback", .string(failure.traceback))) }
        return .object(members)
    }

    private static func optional<Value>(_ value: Value?, _ write: (Value) -> JSONValue) -> JSONValue {
        value.map(write) ?? .literal("null")
    }

    /// To a tenth.
    private static func microseconds(_ nanoseconds: UInt64) -> String {
        let tenths = (nanoseconds &+ 50) / 100
        return "\(tenths / 10).\(tenths % 10)"
    }

    // MARK: For people

    var table: String {
        var text = "generation \(serving)"
        text += report.refusal.isEmpty ? "\n" : "; \(report.refusal)"
        text += "\n" + EdgeReport.table([PolicyReport.heads] + rows.flatMap(PolicyReport.lines))
        for row in rows {
            if let error = row.summary.lastError {
                text += PolicyReport.describe(error, "last error", row.instance.name)
            }
            if let failure = row.summary.lastReloadFailure {
                text += PolicyReport.describe(failure, "last refused reload", row.instance.name)
            }
        }
        return text
    }

    private static let heads = [
        "POLICY", "GEN", "HASH", "LOADED", "HOOK", "RUNS", "REPLIES", "ERRORS", "P50 us", "P99 us", "MAX us", "MEMORY",
        "USED BY",
    ]

    /// One line for each hook that has run, at least one.
    private static func lines(_ row: Row) -> [[String]] {
        let places = row.listeners.map { "listener \($0)" } + row.routes.map { "route \($0)" }
        let shown = places.prefix(4).joined(separator: ", ") + (places.count > 4 ? ", … (\(places.count))" : "")
        let state = row.isServing ? "" : " (ending)"
        let name = row.instance.name + state
        let first = [
            name, "\(row.summary.generation)", String(row.summary.hash.prefix(12)),
            EdgeReport.time(row.summary.loadedAt),
        ]
        let last = ["\(row.summary.peakMemory / 1024) KiB", shown]
        guard !row.summary.hooks.isEmpty else { return [first + ["-", "0", "0", "0", "-", "-", "-"] + last] }
        return row.summary.hooks.enumerated().map { index, hook in
            let errors = hook.errors.map { "\($0.count) \($0.reason.label)" }.joined(separator: ", ")
            let figures = [
                hook.hook.label, "\(hook.runs)", "\(hook.replies)", errors.isEmpty ? "0" : errors,
                microseconds(hook.times.median), microseconds(hook.times.percentile99),
                microseconds(hook.times.longest),
            ]
            return (index == 0 ? first : ["", "", "", ""]) + figures + (index == 0 ? last : ["", ""])
        }
    }

    private static func describe(_ failure: PolicyStats.Failure, _ what: String, _ name: String) -> String {
        let hook = failure.hook.map { " in \($0.label)" } ?? ""
        let text = failure.traceback.isEmpty ? failure.message : "\(failure.message)\n\(failure.traceback)"
        let lines = text.split(separator: "\n").map { "  \($0)\n" }.joined()
        return "\n\(what) of \(name)\(hook), \(EdgeReport.time(failure.at)):\n\(lines)"
    }
}
