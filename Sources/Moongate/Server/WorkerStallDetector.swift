/// Whether an event loop is stuck in one turn: a value that is told at each look what was seen, and says what has changed.
///
/// Time counts that says something about the thread alone: the CPU time that it has used within the turn, and the time that it
/// was blocked in the kernel. A machine that stands still, or has no core for the thread, makes no stall.
struct WorkerStallDetector {
    /// How often to look.
    static let interval = Duration.milliseconds(500)

    struct Reading {
        /// `EventLoop.pulse`.
        var pulse: UInt64
        /// The thread's CPU time in nanoseconds.
        var cpuTime: UInt64
        /// The thread waits in the kernel right now.
        var isBlocked: Bool
    }

    enum Change: Equatable {
        case none
        case stalled
        /// A turn was taken again.
        case recovered
    }

    private(set) var isStalled = false
    /// How long the loop has been stuck in its turn, in nanoseconds.
    private(set) var stuck: UInt64 = 0
    private var pulse: UInt64 = 0
    private var cpuTime: UInt64 = 0

    /// The loop was in the same turn at the last look: only then it matters whether the thread is blocked.
    func isSameTurn(_ pulse: UInt64) -> Bool { pulse & 1 == 1 && pulse == self.pulse }

    /// - Parameters:
    ///   - elapsed: nanoseconds since the last look. Who looks late may have been stopped together with the thread, so
    ///     no more than an interval counts as time that the thread was blocked.
    ///   - limit: how long a turn may take.
    mutating func look(_ reading: Reading, elapsed: UInt64, limit: UInt64) -> Change {
        guard isSameTurn(reading.pulse) else {
            self = WorkerStallDetector(after: reading, wasStalled: isStalled)
            return isStalled ? recover() : .none
        }
        let used = reading.cpuTime >= cpuTime ? reading.cpuTime - cpuTime : 0
        cpuTime = reading.cpuTime
        let counted = min(elapsed, WorkerStallDetector.interval.nanoseconds)
        stuck += reading.isBlocked ? max(used, counted) : used
        guard !isStalled, stuck >= limit else { return .none }
        isStalled = true
        return .stalled
    }

    private mutating func recover() -> Change {
        isStalled = false
        return .recovered
    }
}

extension WorkerStallDetector {
    private init(after reading: Reading, wasStalled: Bool) {
        pulse = reading.pulse
        cpuTime = reading.cpuTime
        isStalled = wasStalled
    }
}
