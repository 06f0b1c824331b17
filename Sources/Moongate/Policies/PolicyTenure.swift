/// An engine in service: held by every generation that its policy serves. With the last of them the policy is closed.
///
/// Not the engine's own end, since nothing may refer to an engine weakly while that goes on, as leaves do.
final class PolicyTenure {
    let engine: PolicyEngine

    /// The engine is at home on the worker of `host` from now on.
    init(_ engine: PolicyEngine, on host: PolicyHost) {
        self.engine = engine
        engine.enter(host)
    }

    deinit { engine.close() }
}
