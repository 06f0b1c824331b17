import Synchronization

/// The upstreams of one generation on one worker as policies call them. This one has none.
class UpstreamDirectory {
    private static let numbers = Atomic<UInt64>(0)
    /// No other directory of the process has it.
    let number = UpstreamDirectory.numbers.wrappingAdd(1, ordering: .relaxed).newValue

    init() {}

    /// Calls of the worker that have not ended.
    var activeCalls: Int { 0 }

    func has(_ name: String) -> Bool { false }

    /// The servers that a name stands for; `nil`: there is no upstream of that name.
    func target(of name: String) -> UpstreamTarget? { has(name) ? .unspecified : nil }

    /// Starts a call, see `UpstreamCalls.start`. False: there is no upstream of that name.
    func start(
        _ call: UpstreamCall, to name: String, _ completion: @escaping (UpstreamCall.Failure?) -> Void
    ) -> Bool { false }

    /// The same for a call that nobody waits for. False also: there is no memory for it.
    func startAlone(
        _ call: UpstreamCall, to name: String, _ completion: @escaping (UpstreamCall.Failure?) -> Void
    ) -> Bool { start(call, to: name, completion) }
}

/// A generation's upstreams with their connections.
final class WorkerUpstreams: UpstreamDirectory {
    private let calls: UpstreamCalls
    private let byName: [String: Upstream]
    /// As they were when the generation began: later ones change the upstreams.
    private let targets: [String: UpstreamTarget]

    init(_ upstreams: [Upstream], calls: UpstreamCalls) {
        self.calls = calls
        byName = Dictionary(upstreams.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        targets = byName.mapValues(\.target)
    }

    override var activeCalls: Int { calls.active }

    override func has(_ name: String) -> Bool { byName[name] != nil }

    override func target(of name: String) -> UpstreamTarget? { targets[name] }

    override func start(
        _ call: UpstreamCall, to name: String, _ completion: @escaping (UpstreamCall.Failure?) -> Void
    ) -> Bool {
        guard let upstream = byName[name] else { return false }
        calls.start(call, to: upstream, completion)
        return true
    }

    override func startAlone(
        _ call: UpstreamCall, to name: String, _ completion: @escaping (UpstreamCall.Failure?) -> Void
    ) -> Bool {
        guard let upstream = byName[name] else { return false }
        return calls.startAlone(call, to: upstream, completion)
    }
}
