import MoongateConfig

/// An instance as a worker runs it. References are those of its engine's VM.
struct PolicyInstance {
    /// The script engine that runs it; kept by the owner of the list that this is in.
    var engine: Unmanaged<PolicyEngine>
    /// Its place in the engine's unit.
    var index: Int32
    /// 0: the file has no such hook.
    var request: Int32 = 0
    var response: Int32 = 0
    /// The loop over a body's gRPC messages that calls the hook for them.
    var messages: Int32 = 0
    /// The hooks that have Envoy's names, and Envoy's rules.
    var hasEnvoyRequest = false
    var hasEnvoyResponse = false
    var log: Int32 = 0
    var close: Int32 = 0
    /// The settings as a read-only table.
    var config: Int32 = 0
    var onError: PolicyReference.OnError
    var cells: PolicyCells
    var statsRow: PolicyStatsRow

    /// The use of the policy as the configuration has it.
    var use: PolicyUnit.Instance { engine._withUnsafeGuaranteedRef { $0.unit.instances[Int(index)] } }
}
