import MoongateConfig

/// What the admin listener tells about policies, upstreams and generations, as JSON and as a table for people.
struct EdgeReport: Sendable {
    let generationRegistry: GenerationRegistry
    let upstreams: SharedUpstreams
    /// Refused reloads since the start.
    let reloadFailures: @Sendable () -> UInt64
    /// Why the newest files are not the ones that serve; `nil` when they are.
    let lastReloadFailure: @Sendable () -> String?
    /// Lists that serve although their files say something else by now.
    let staleLists: @Sendable () -> [StaleList]

    /// The page of this path; `nil`: there is none.
    func answer(_ request: AdminRequest) -> AdminResponse? {
        switch request.path {
        case "/policies":
            let policies = PolicyReport(self)
            return request.wantsText ? text(policies.table) : json(policies.json)
        case "/upstreams":
            let report = UpstreamReport(upstreams)
            return request.wantsText ? text(report.table) : json(report.json)
        case "/generations": return request.wantsText ? text(generationTable) : json(generations)
        case "/explain": return explain(request)
        default: return nil
        }
    }

    private func explain(_ request: AdminRequest) -> AdminResponse {
        guard let asked = ExplainedRequest(query: request.query) else {
            return AdminResponse(
                .badRequest, "say of which request: /explain?host=…&path=/…, and header=name=value, method, listener")
        }
        guard let serving = generationRegistry.living().first(where: \.isServing)?.generation else {
            return AdminResponse(.unavailable, "starting")
        }
        do {
            let report = try ExplainReport(asked, serving.config, serving.routeTable)
            return request.wantsText ? text(report.text) : json(report.json)
        } catch {
            return AdminResponse(.badRequest, error.message)
        }
    }

    private func json(_ value: JSONValue) -> AdminResponse {
        AdminResponse(.ok, contentType: "application/json", body: Array((value.text() + "\n").utf8))
    }

    private func text(_ text: String) -> AdminResponse {
        let visible = text.visible(keepingLines: true)
        return AdminResponse(.ok, contentType: "text/plain; charset=utf-8", body: Array(visible.utf8))
    }

    /// How the reloads went, and what that leaves behind.
    var reloads: [(key: String, value: JSONValue)] {
        let stale = staleLists().map { list in
            JSONValue.object([("list", .string(list.kind.rawValue)), ("file", .string(list.path))])
        }
        return [
            (
                "reloads",
                .object([
                    ("failures", .integer(Int(clamping: reloadFailures()))),
                    ("last_failure", lastReloadFailure().map { .string($0) } ?? .literal("null")),
                ])
            ),
            ("stale_lists", .array(stale)),
        ]
    }

    /// The same for people; empty when the newest files serve.
    var refusal: String {
        guard let failure = lastReloadFailure() else { return "" }
        let lines = failure.split(separator: "\n").map(String.init) + staleLists().map { "\($0.warning): \($0.path)" }
        return "the last reload was refused:\n  \(lines.joined(separator: "\n  "))\n"
    }

    private var generations: JSONValue {
        .object(
            reloads + [
                (
                    "generations",
                    .array(
                        generationRegistry.living().map { entry in
                            .object([
                                ("number", .integer(Int(clamping: entry.generation.number))),
                                ("state", .string(entry.isServing ? "serving" : "ending")),
                                ("since", .string(EdgeReport.time(entry.since))),
                                ("exchanges", .integer(entry.generation.metrics.exchanges)),
                                ("policies", .integer(entry.generation.program.instances.count)),
                            ])
                        })
                )
            ])
    }

    private var generationTable: String {
        let rows = generationRegistry.living().map { entry in
            [
                "\(entry.generation.number)", entry.isServing ? "serving" : "ending", EdgeReport.time(entry.since),
                "\(entry.generation.metrics.exchanges)",
            ]
        }
        let table = EdgeReport.table([["GENERATION", "STATE", "SINCE", "EXCHANGES"]] + rows)
        return refusal.isEmpty ? table : refusal + "\n" + table
    }

    // MARK: Form

    /// RFC 3339, UTC, milliseconds.
    static func time(_ unixMilliseconds: Int64) -> String {
        let time = CalendarTime(unixMilliseconds: unixMilliseconds)
        func padded(_ number: Int, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return "\(padded(time.year, 4))-\(padded(time.month, 2))-\(padded(time.day, 2))T\(padded(time.hour, 2)):"
            + "\(padded(time.minute, 2)):\(padded(time.second, 2)).\(padded(time.millisecond, 3))Z"
    }

    /// Columns as wide as their widest cell, two blanks between them. A cell is one line of visible characters, whatever its text.
    static func table(_ texts: [[String]]) -> String {
        let rows = texts.map { row in row.map { $0.visible() } }
        var widths: [Int] = []
        for row in rows {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        let lines = rows.map { row in
            let cells = row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }
            return cells.joined(separator: "  ") + "\n"
        }
        return lines.joined()
    }
}
