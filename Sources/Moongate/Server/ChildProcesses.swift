import Glibc

/// The processes that this one has started and that have not been waited for: nobody else takes them from the system's table.
///
/// A value of the control thread, which is never kept waiting. It looks when a child has ended (SIGCHLD), and when `deadline` has
/// come.
struct ChildProcesses {
    /// A process that is no more.
    struct End: Equatable {
        let process: pid_t
        /// As waitpid(2) has it; `nil`: somebody else has waited for it.
        let status: Int32?

        /// For people.
        var text: String {
            guard let status else { return "" }
            return status & 0x7f == 0 ? ", with code \(status >> 8 & 0xff)" : ", by signal \(status & 0x7f)"
        }
    }

    private enum State: Equatable {
        case runs
        /// SIGTERM was sent; SIGKILL follows then.
        case isToEnd(killAt: Instant)
        case isKilled
    }

    /// How long a process may take to end by itself.
    static let grace = Duration.seconds(5)

    private var states: [pid_t: State] = [:]

    /// Has the process waited for when it ends.
    mutating func add(_ process: pid_t) { states[process] = .runs }

    /// Ends a process in an orderly way if it can, in any case after the grace. Once, and only as long as it is there:
    /// its number may belong to another process afterwards.
    mutating func end(_ process: pid_t, at now: Instant) {
        guard states[process] == .runs else { return }
        states[process] = .isToEnd(killAt: now &+ ChildProcesses.grace.nanoseconds)
        kill(process, SIGTERM)
    }

    /// Those that have ended since the last look. Those whose time is over are killed.
    mutating func look(at now: Instant) -> [End] {
        var ends: [End] = []
        for (process, state) in states {
            var status: Int32 = 0
            switch waitpid(process, &status, WNOHANG) {
            case process: ends.append(End(process: process, status: status))
            case -1 where errno == ECHILD: ends.append(End(process: process, status: nil))
            default:
                guard case .isToEnd(let killAt) = state, now >= killAt else { continue }
                states[process] = .isKilled
                kill(process, SIGKILL)
            }
        }
        for end in ends { states[end.process] = nil }
        return ends
    }

    /// When `look` has something to do although no child has ended.
    var deadline: Instant? {
        states.values.compactMap { state in if case .isToEnd(let killAt) = state { killAt } else { nil } }.min()
    }

    var isEmpty: Bool { states.isEmpty }
}
