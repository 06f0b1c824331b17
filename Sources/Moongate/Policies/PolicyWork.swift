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
    private var cancellations: [Int: () -> Void] = [:]
    private var number = 0

    /// Remembers how to give up what a hook waits for. Gives the key for `waitEnded`.
    func waits(_ cancel: @escaping () -> Void) -> Int {
        number &+= 1
        cancellations[number] = cancel
        return number
    }

    func waitEnded(_ key: Int) { cancellations[key] = nil }

    /// The hooks that wait will not go on.
    func cancelWaits() {
        let all = cancellations
        cancellations = [:]
        for cancel in all.values { cancel() }
    }
}

extension Pooled where Record == PolicyRunRecord {
    /// Made when it is first asked for.
    var work: PolicyWork {
        if let work = pointer.pointee.work { return work }
        let work = PolicyWork()
        pointer.pointee.work = work
        return work
    }
}
