/// An engine in service: held by every generation that its policy serves. With the last of them, or when the worker ends, the policy is
/// closed.
///
/// Not the engine's own end, since nothing may refer to an engine weakly while that goes on, as leaves do.
final class PolicyEngineLease {
    let engine: PolicyEngine
    private let host: PolicyHost
    private var isOver = false

    /// The engine is at home on the worker of `host` from now on.
    init(_ engine: PolicyEngine, on host: PolicyHost) {
        self.engine = engine
        self.host = host
        engine.enter(host)
    }

    /// Closes the policy, unless that has been done.
    /// - Parameter time: nanoseconds that its last hooks may wait.
    func end(within time: UInt64 = PolicyClosing.limit) {
        guard !isOver else { return }
        isOver = true
        host.closings.begin(engine, within: time)
    }

    deinit { end() }
}
