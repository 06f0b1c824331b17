import Synchronization

/// Who has had policies exceed their time limit: one for the process, so that a client pays on every worker.
final class OverrunTracker: Sendable {
    private struct State {
        var book = OverrunHistory()
        /// Numbers of policies' files.
        var numbers: [String: OverrunHistory.Policy] = [:]
    }

    private let state = Locked(State())
    private let hasEntries = Atomic<Bool>(false)

    /// Somebody may be barred.
    @inline(__always) var isActive: Bool { hasEntries.load(ordering: .relaxed) }

    /// The number of a policy's file, for as long as the process lives: a reload forgives nobody.
    func number(of file: String) -> OverrunHistory.Policy {
        state.withLock { state in
            if let number = state.numbers[file] { return number }
            let number = OverrunHistory.Policy(clamping: state.numbers.count)
            state.numbers[file] = number
            return number
        }
    }

    func isBarred(_ client: ClientShare, from policy: OverrunHistory.Policy, at now: Instant) -> Bool {
        state.withLock { state in
            guard now < state.book.end else {
                state.book.clear()
                hasEntries.store(false, ordering: .relaxed)
                return false
            }
            return state.book.isBarred(client, from: policy, at: now)
        }
    }

    func overran(_ policy: OverrunHistory.Policy, for client: ClientShare?, at now: Instant) -> OverrunHistory.Judgement
    {
        state.withLock { state in
            let judgement = state.book.overran(policy, for: client, at: now)
            hasEntries.store(!state.book.isEmpty, ordering: .relaxed)
            return judgement
        }
    }
}
