/// A host in service: held by every generation that its policies serve. With the last of them, or when the worker ends, the
/// policies are closed.
///
/// Not the host's own end, since nothing may refer to a host weakly while that goes on, as leaves do.
final class PolicyTenure {
    let host: PolicyHost
    private let closings: PolicyClosings
    private var isOver = false

    init(_ host: PolicyHost, _ closings: PolicyClosings) {
        self.host = host
        self.closings = closings
    }

    /// Closes the policies, unless that has been done.
    /// - Parameter time: nanoseconds that their last hooks may wait.
    func end(within time: UInt64 = PolicyClosing.limit) {
        guard !isOver else { return }
        isOver = true
        closings.begin(host, within: time)
    }

    deinit { end() }
}
