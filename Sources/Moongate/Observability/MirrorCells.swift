/// What one worker counts for one mirror of a route. A trivial view, see `RouteCells`.
struct MirrorCells {
    /// Why a copy was given up.
    enum Drop: Int, CaseIterable {
        /// More of it waited than the mirror's buffer holds.
        case buffer
        /// There was no connection.
        case unavailable
        /// Its head or its trailers are larger than the mirror takes.
        case headers
        /// The mirror ended the stream before its answer was complete.
        case reset
        /// The request ended before all of it was there.
        case incomplete
        /// The answer took too long after the request had ended.
        case timeout
        /// There was no room in `limits.copy_buffer`.
        case memory
        /// The process was short of memory.
        case overload

        var label: String { "\(self)" }
    }

    enum Column {
        static let requests = 0
        /// One for each `Drop`.
        static let drops = 1
        /// One per gRPC status, 0 to 16, one for every other number, one for answers without.
        static let status = drops + Drop.allCases.count
        static let otherStatus = status + 17
        static let noStatus = status + 18
        static let count = status + 19
    }

    let row: CounterRow

    /// Copies begun.
    var requests: Counter { row[Column.requests] }

    func drops(_ reason: Drop) -> Counter { row[Column.drops + reason.rawValue] }

    /// - Parameter status: that of a complete answer; -1: it has none.
    func countAnswer(status: Int) {
        guard status >= 0 else { return row[Column.noStatus].add() }
        row[status <= 16 ? Column.status + status : Column.otherStatus].add()
    }
}

extension MetricsRegistry {
    /// The counters of one mirror. Names hold no blanks.
    func mirror(route: String, upstream: String) -> Entry { mirrors.entry("\(route) \(upstream)") }

    func writeMirrors(to text: inout PrometheusText) {
        let entries = mirrors.living().map { entry in
            let names = entry.name.split(separator: " ", maxSplits: 1).map(String.init)
            return (block: entry.block, labels: [("route", names.first ?? ""), ("upstream", names.last ?? "")])
        }
        typealias Column = MirrorCells.Column
        text.family("moongate_mirror_requests_total", .counter, "Copies of requests sent to mirrors.")
        for entry in entries { text.sample(entry.labels, entry.block.total(Column.requests)) }
        text.family("moongate_mirror_dropped_total", .counter, "Copies that were given up, by reason.")
        for entry in entries {
            for reason in MirrorCells.Drop.allCases {
                let count = entry.block.total(Column.drops + reason.rawValue)
                guard count > 0 || reason == .buffer else { continue }
                text.sample(entry.labels + [("reason", reason.label)], count)
            }
        }
        text.family("moongate_mirror_responses_total", .counter, "Complete answers of mirrors by their gRPC status.")
        for entry in entries {
            for column in Column.status...Column.noStatus {
                let count = entry.block.total(column)
                guard count > 0 || column == Column.status else { continue }
                let label =
                    column == Column.noStatus
                    ? "none" : column == Column.otherStatus ? "other" : String(column - Column.status)
                text.sample(entry.labels + [("grpc_status", label)], count)
            }
        }
    }
}
