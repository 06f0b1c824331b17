import MoongateLua

/// One request with its response, in memory: what an exchange is to the policies of a spec.
final class SpecExchange {
    enum State {
        /// A hook waits.
        case waiting
        /// The upstream has the request.
        case sent
        /// The client has its answer.
        case answered
    }

    let policy: SpecPolicy
    private let request = UnsafeMutablePointer<HeaderList>.allocate(capacity: 1)
    private let response = UnsafeMutablePointer<HeaderList>.allocate(capacity: 1)
    private let facts: ConnectionFacts
    private let requestBody = SpecBody()
    private let responseBody = SpecBody()
    private var run: PolicyRun?
    private(set) var state = State.waiting
    private var isResponding = false
    /// `proceeded`, `replied` or `failed`.
    private var verdict = "proceeded"

    /// - Throws: `SpecFault` when the VM's memory is spent.
    init(_ policy: SpecPolicy, _ message: SpecRequest) throws(SpecFault) {
        self.policy = policy
        facts = message.facts
        request.initialize(to: HeaderList())
        response.initialize(to: HeaderList())
        for (name, value) in message.fields { request.pointee.add(name, value) }
        guard let run = policy.host.begin(owner: Unmanaged.passUnretained(self).toOpaque()) else {
            throw SpecFault("the policies have no memory left")
        }
        self.run = run
        run.pointer.pointee.subject.request = request
        run.pointer.pointee.subject.response = response
        requestBody.fill(message.body)
        run.pointer.pointee.subject.requestFlow = requestBody.flow(request)
        run.pointer.pointee.subject.responseFlow = responseBody.flow(response)
        run.pointer.pointee.subject.connection = .passUnretained(facts)
        run.pointer.pointee.subject.upstreamNames = .passUnretained(policy.upstreamIndex)
        run.pointer.pointee.subject.routeName = policy.routeName
        run.pointer.pointee.subject.requestNumber = 1
    }

    deinit {
        finish()
        request.pointee.destroy()
        response.pointee.destroy()
        request.deallocate()
        response.deallocate()
    }

    // MARK: What happens

    func start() {
        guard let run, let chain = policy.program.routeChain(0) else { return }
        take(run.startRequest(chain))
    }

    /// The upstream answers.
    func respond(_ message: SpecResponse) {
        guard let run, state == .sent else { return }
        response.pointee.reset()
        for (name, value) in message.fields { response.pointee.add(name, value) }
        responseBody.fill(message.body, trailers: message.trailers)
        isResponding = true
        take(run.startResponse())
    }

    /// The verdict of the phase that runs, now or after a wait.
    func take(_ verdict: PolicyVerdict) {
        guard let run else { return }
        switch verdict {
        case .pause: state = .waiting
        case .proceed:
            state = isResponding ? .answered : .sent
            // Hooks that go through the body piece by piece.
            policy.host.turnEnded()
        case .reply:
            self.verdict = "replied"
            let body = run.pointer.pointee.replyBody.string
            run.stopHooks()
            responseBody.fill(body)
            guard !isResponding, run.hasResponseHooks else { return state = .answered }
            isResponding = true
            take(run.startResponse())
        case .bodyTooLarge:
            self.verdict = "failed"
            fail(isResponding ? .responseBodyTooLarge : .requestBodyTooLarge)
        case .fail:
            self.verdict = "failed"
            fail(.policyFailed(requestID: RequestNumber.text(1)))
        }
    }

    /// As the exchange answers for a policy that failed.
    private func fail(_ fault: Fault) {
        run?.stopHooks()
        let type = request.pointee.value(.contentType)
        let isGRPC = fault.message.withBytes {
            LocalReply.fill(
                &response.pointee, status: fault.status, httpStatus: fault.httpStatus, message: $0, requestType: type)
        }
        responseBody.fill(isGRPC ? "" : fault.message)
        state = .answered
    }

    /// The client is gone, or the response is over.
    func finish() {
        guard let run else { return }
        self.run = nil
        policy.host.end(run)
    }

    // MARK: What is seen

    var view: LuaValue {
        var entries: [LuaValue.Entry] = [
            .init(.string("verdict"), .string(verdict)),
            .init(
                .string("request"), .record([("fields", request.pointee.asList), ("body", .string(requestBody.text))])),
        ]
        if let index = run?.pointer.pointee.subject.upstream, policy.upstreams.indices.contains(index) {
            entries.append(.init(.string("upstream"), .string(policy.upstreams[index])))
        }
        if state == .answered {
            entries.append(
                .init(
                    .string("response"),
                    .record([
                        ("fields", response.pointee.asList), ("body", .string(responseBody.text)),
                        ("trailers", responseBody.trailers),
                    ])))
        }
        return .table(entries)
    }
}

extension LuaValue {
    static func record(_ fields: [(String, LuaValue)]) -> LuaValue {
        .table(fields.map { Entry(.string($0.0), $0.1) })
    }
}

extension HeaderList {
    mutating func add(_ name: String, _ value: String) {
        name.withBytes { name in value.withBytes { value in add(name: name, value: value) } }
    }

    /// Pairs of name and value.
    var asList: LuaValue {
        .list((0..<count).map { .list([.string(self[$0].name.string), .string(self[$0].value.string)]) })
    }
}
