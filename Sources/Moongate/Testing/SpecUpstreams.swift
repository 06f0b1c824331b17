import MoongateLua

/// The upstreams that policies of a spec call: they hold the calls until the spec's stubs answer.
final class SpecUpstreams: UpstreamDirectory {
    private let names: Set<String>
    private let calls: SpecCalls

    init(_ names: [String], _ calls: SpecCalls) {
        self.names = Set(names)
        self.calls = calls
    }

    override var activeCalls: Int { calls.count }
    override func has(_ name: String) -> Bool { names.contains(name) }

    override func start(
        _ call: UpstreamCall, to name: String, _ completion: @escaping (UpstreamCall.Failure?) -> Void
    ) -> Bool {
        guard has(name) else { return false }
        calls.add(call, to: name, completion)
        return true
    }
}

/// The calls of one spec that have no answer yet.
final class SpecCalls {
    private struct Pending {
        var number: Int
        var upstream: String
        var call: UpstreamCall
        var completion: (UpstreamCall.Failure?) -> Void
    }

    /// Nobody has looked at these.
    private var waiting: [Pending] = []
    /// The stub is about to answer.
    private var shown: [Pending] = []
    private var lastNumber = 0

    var count: Int { waiting.count + shown.count }

    fileprivate func add(
        _ call: UpstreamCall, to name: String, _ completion: @escaping (UpstreamCall.Failure?) -> Void
    ) {
        lastNumber += 1
        waiting.append(Pending(number: lastNumber, upstream: name, call: call, completion: completion))
    }

    func removeAll() {
        waiting = []
        shown = []
    }

    /// The oldest call that no stub has seen, as stubs see it; `nil`: there is none.
    func show() -> LuaValue? {
        guard !waiting.isEmpty else { return nil }
        let first = waiting.removeFirst()
        shown.append(first)
        return .record([
            ("number", .integer(Int64(first.number))), ("upstream", .string(first.upstream)),
            ("fields", first.call.request.asList), ("body", .bytes(first.call.body)),
            ("timeout", .number(Double(first.call.timeout) / 1e9)),
        ])
    }

    /// Answers a call; what waited for it goes on.
    ///
    /// - Throws: `SpecFault` for an answer that cannot be; the call has failed then.
    func answer(_ number: Int, _ value: LuaValue?) throws(SpecFault) {
        guard let place = shown.firstIndex(where: { $0.number == number }) else { return }
        let order = shown.remove(at: place)
        do throws(SpecFault) {
            order.completion(try SpecCalls.fill(order.call, value))
        } catch {
            order.completion(.unavailable("the stub's answer is no answer"))
            throw error
        }
    }

    private static func fill(
        _ call: UpstreamCall, _ value: LuaValue?
    ) throws(SpecFault) -> UpstreamCall.Failure? {
        if let failure = value?["failure"] { return try self.failure(failure, value) }
        let response = try SpecResponse(value)
        guard response.body.count <= call.limit else { return .tooLarge }
        for (name, value) in response.fields { call.response.add(name, value) }
        for (name, value) in response.trailers { call.trailers.add(name, value) }
        call.answer = response.body
        return nil
    }

    private static func failure(
        _ failure: LuaValue, _ value: LuaValue?
    ) throws(SpecFault) -> UpstreamCall.Failure {
        _ = try SpecTable(value, "a failure", known: ["failure"])
        switch failure.text {
        case "timeout": return .timeout
        case "reset": return .reset("by the spec")
        case "unavailable": return .unavailable("by the spec")
        default: throw SpecFault("failure must be \"timeout\", \"reset\" or \"unavailable\"")
        }
    }
}
