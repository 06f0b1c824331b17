/// What calls of policies may use.
struct PolicyCallLimits: Sendable, Equatable {
    /// Of an answer's body.
    var bytes = 1 << 20
    /// Under way at a time.
    var perRequest = 16
    var perWorker = 4096
}

/// What one run has under way on its worker's thread: calls, and what its hooks wait for.
final class PolicyWork {
    /// Calls that have not ended, asynchronous ones included.
    var calls = 0
    /// By the number of the wait.
    private var cancellations: [UInt64: () -> Void] = [:]

    /// Remembers how to give up what a hook waits for.
    func waits(_ wait: UInt64, _ cancel: @escaping () -> Void) { cancellations[wait] = cancel }

    func waitEnded(_ wait: UInt64) { cancellations[wait] = nil }

    /// The hook that waits will not go on.
    func cancelWait(_ wait: UInt64) { cancellations.removeValue(forKey: wait)?() }
}

extension Pooled where Record == PolicyRunRecord {
    /// Made when it is first asked for.
    var work: PolicyWork {
        if let work = self.startedWork { return work }
        let work = PolicyWork()
        self.startedWork = work
        return work
    }
}
