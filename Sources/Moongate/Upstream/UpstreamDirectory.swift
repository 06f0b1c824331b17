/// The upstreams of one generation on one worker as policies call them. This one has none.
class UpstreamDirectory {
    init() {}

    /// Calls of the worker that have not ended.
    var activeCalls: Int { 0 }

    func has(_ name: String) -> Bool { false }

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

    init(_ upstreams: [Upstream], calls: UpstreamCalls) {
        self.calls = calls
        byName = Dictionary(upstreams.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    override var activeCalls: Int { calls.active }

    override func has(_ name: String) -> Bool { byName[name] != nil }

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
