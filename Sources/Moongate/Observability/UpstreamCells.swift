/// What one worker counts for one upstream. A trivial view, see `RouteCells`.
struct UpstreamCells {
    enum Column {
        static let openConnections = 0
        static let connects = 1
        static let connectFailures = 2
        static let openStreams = 3
        static let requests = 4
        /// One for each `UpstreamLimit`.
        static let overflows = 5
        /// One for each `Abuse`.
        static let abuses = overflows + UpstreamLimit.allCases.count
        static let smallHeadLimits = abuses + Abuse.allCases.count
        static let count = smallHeadLimits + 1
    }

    let row: CounterRow

    /// Times that a server has announced a limit for headers into which hardly a request fits.
    var smallHeadLimits: Counter { row[Column.smallHeadLimits] }
    /// Gauge: connections that are open or being opened.
    var openConnections: Counter { row[Column.openConnections] }
    /// Connections that became usable.
    var connects: Counter { row[Column.connects] }
    /// Attempts that ended before the connection was usable.
    var connectFailures: Counter { row[Column.connectFailures] }
    /// Gauge: requests in flight.
    var openStreams: Counter { row[Column.openStreams] }
    /// Requests sent, retries included.
    var requests: Counter { row[Column.requests] }
    /// Times that a limit was reached.
    func overflows(_ limit: UpstreamLimit) -> Counter { row[Column.overflows + limit.rawValue] }
    /// Connections ended because of what the server did.
    func abuse(_ kind: Abuse) -> Counter { row[Column.abuses + kind.rawValue] }
}

extension MetricsRegistry {
    func writeHeadLimits(to text: inout PrometheusText) {
        text.family(
            "moongate_upstream_small_header_limits_total", .counter,
            "Times that a server has announced that it takes less than 1 KiB of headers.")
        for upstream in upstreams.living() {
            text.sample([("upstream", upstream.name)], upstream.block.total(UpstreamCells.Column.smallHeadLimits))
        }
    }
}

/// What one worker counts for one listener. A trivial view, see `RouteCells`.
struct ListenerCells {
    enum Column {
        static let openConnections = 0
        static let accepted = 1
        static let handshakeFailures = 2
        static let openStreams = 3
        static let bytesIn = 4
        static let bytesOut = 5
        static let proxyProtocolFailures = 6
        static let refused = 7
        static let expired = refused + ConnectionLimit.allCases.count
        static let acceptPauses = expired + ConnectionSchedule.Reason.allCases.count
        static let abuses = acceptPauses + 1
        static let underscores = abuses + Abuse.allCases.count
        static let count = underscores + 1
    }

    let row: CounterRow

    /// Request fields that did not pass because of an underscore in their names.
    var underscores: Counter { row[Column.underscores] }
    /// Connections closed at once because of a limit.
    func refused(_ limit: ConnectionLimit) -> Counter { row[Column.refused + limit.rawValue] }
    /// Pauses in accepting because of the rate of new connections.
    var acceptPauses: Counter { row[Column.acceptPauses] }
    /// Connections that were drained or closed by their schedule.
    func expired(_ reason: ConnectionSchedule.Reason) -> Counter { row[Column.expired + reason.rawValue] }
    /// Clients cut off, or streams of theirs, by what they did.
    func abuse(_ kind: Abuse) -> Counter { row[Column.abuses + kind.rawValue] }
    /// Gauge.
    var openConnections: Counter { row[Column.openConnections] }
    var accepted: Counter { row[Column.accepted] }
    /// TLS or HTTP/2 openings that failed.
    var handshakeFailures: Counter { row[Column.handshakeFailures] }
    /// Gauge: requests in flight.
    var openStreams: Counter { row[Column.openStreams] }
    /// Bytes read from client sockets, framing included, TLS removed.
    var bytesIn: Counter { row[Column.bytesIn] }
    /// Bytes written to client sockets, framing included, before TLS.
    var bytesOut: Counter { row[Column.bytesOut] }
    /// Connections refused for their PROXY header.
    var proxyProtocolFailures: Counter { row[Column.proxyProtocolFailures] }
}
