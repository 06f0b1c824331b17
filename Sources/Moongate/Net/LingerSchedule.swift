/// How long a connection stays whose last octet has been written: a value that is told how things stand and says what to do.
///
/// A socket that is closed answers whatever still comes with a reset, which makes the peer's kernel drop what it has not given to
/// its reader (RFC 1122 §4.2.2.13): a WINDOW_UPDATE of a client that reads slowly would cut its own response.
struct LingerSchedule {
    /// In nanoseconds.
    struct Limits: Sendable, Equatable {
        /// After the peer's kernel has acknowledged everything: its reader may be behind.
        var delivered: UInt64 = 1_000_000_000
        /// Without an octet that is acknowledged.
        var stalled: UInt64 = 5_000_000_000
        /// In all.
        var total: UInt64 = 30_000_000_000

        /// Behind a response: it is to arrive whole.
        static let response = Limits()
        /// Behind the GOAWAY of a protocol error.
        static let farewell = Limits(total: 1_000_000_000)
    }

    /// How things stand.
    struct View {
        var now: Instant
        /// Octets that are not acknowledged, those included that the kernel has not taken.
        var unacknowledged: Int
        var peerHasClosed = false
    }

    enum Action: Equatable {
        /// Look again after so many nanoseconds, or when the peer is heard of.
        case wait(UInt64)
        case close
    }

    private enum State {
        /// So many octets are on their way, since when.
        case delivering(Int, since: Instant)
        case delivered(at: Instant)
    }

    /// The kernel does not tell when octets are acknowledged.
    private static let interval: UInt64 = 100_000_000

    private let limits: Limits
    private let end: Instant
    private var state: State

    init(_ limits: Limits, _ view: View) {
        self.limits = limits
        end = view.now &+ limits.total
        state = .delivering(view.unacknowledged, since: view.now)
    }

    /// What is to be done now.
    mutating func next(_ view: View) -> Action {
        guard !view.peerHasClosed, view.now < end else { return .close }
        let moment = note(view)
        guard view.now < moment.due else { return .close }
        return .wait(min(moment.due - view.now, end - view.now, moment.pause))
    }

    /// Takes note of what has arrived.
    /// - Returns: when the peer's time is over, should it remain as it is, and how long nobody has to look.
    private mutating func note(_ view: View) -> (due: Instant, pause: UInt64) {
        switch state {
        case .delivered(let moment): return (moment &+ limits.delivered, .max)
        case .delivering(_, _) where view.unacknowledged == 0:
            state = .delivered(at: view.now)
            return (view.now &+ limits.delivered, .max)
        case .delivering(let count, let since):
            let isMoving = count != view.unacknowledged
            let since = isMoving ? view.now : since
            state = .delivering(view.unacknowledged, since: since)
            return (since &+ limits.stalled, LingerSchedule.interval)
        }
    }
}
