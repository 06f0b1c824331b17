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
    let request = HeaderList()
    let response = HeaderList()
    private let facts: ConnectionFacts
    let requestBody = SpecBody()
    let responseBody = SpecBody()
    private(set) var run: PolicyRun?
    private(set) var state = State.waiting
    /// Microseconds since 1970, by the policies' clock.
    let startedAt: Int64
    private var isResponding = false
    private var isSettling = false
    /// `proceeded`, `replied` or `failed`.
    private var verdict = "proceeded"
    /// The client's stream was reset.
    private var isReset = false

    /// - Throws: `SpecFault` when the VM's memory is spent.
    init(_ policy: SpecPolicy, _ message: SpecRequest) throws(SpecFault) {
        self.policy = policy
        facts = message.facts
        startedAt = policy.clock.unixMicroseconds()
        for (name, value) in message.fields { request.add(name, value) }
        request.joinCookies()
        guard let run = policy.set?.begin(owner: Unmanaged.passUnretained(self).toOpaque()) else {
            throw SpecFault("the policies have no memory left")
        }
        self.run = run
        run.subject.request = request
        run.subject.response = response
        requestBody.begin(message.body)
        run.subject.requestFlow = requestBody.flow(request)
        run.subject.responseFlow = responseBody.flow(response)
        run.subject.connection = .passUnretained(facts)
        run.subject.client = ClientAddress(facts.peer)
        run.subject.upstreamNames = .passUnretained(policy.upstreamIndex)
        run.subject.routeName = policy.routeName
        run.subject.requestNumber = 1
    }

    deinit {
        giveUpRun()
        request.destroy()
        response.destroy()
    }

    // MARK: What happens

    func start() {
        guard let run, let chain = policy.program.routeChain(0) else { return }
        take(run.startRequest(chain))
        arrive(requestBody, \.requestBody)
    }

    /// The upstream answers.
    func respond(_ message: SpecResponse) {
        guard let run, state == .sent else { return }
        response.reset()
        for (name, value) in message.fields { response.add(name, value) }
        responseBody.begin(message.body, trailers: message.trailers)
        isResponding = true
        take(run.startResponse())
        arrive(responseBody, \.responseBody)
    }

    /// What follows a head comes, after hooks have seen the head.
    private func arrive(_ body: SpecBody, _ policies: KeyPath<PolicyRunRecord, PolicyBody?>) {
        guard let run else { return }
        body.arrive(through: run.pointer.pointee[keyPath: policies])
        run.bodyReceived()
        settle()
    }

    /// A hook waits for an answer, with the head or behind it.
    var isWaiting: Bool {
        state == .waiting || run?.pointer.pointee.frames.contains { $0.wait == .answer } == true
    }

    /// Lets turns of a loop pass until nothing moves any more.
    func settle() {
        guard !isSettling else { return }
        isSettling = true
        defer { isSettling = false }
        var isMoving = true
        while isMoving {
            policy.host.turnEnded()
            policy.host.turnBegan()
            isMoving = requestBody.drain()
            if responseBody.drain() { isMoving = true }
            if isMoving { run?.drive() }
            if policy.host.isResting { isMoving = true }
        }
    }

    /// The verdict of the phase that runs, now or after a wait.
    func take(_ verdict: PolicyVerdict) {
        guard let run else { return }
        switch verdict {
        case .pause: state = .waiting
        case .proceed:
            state = isResponding ? .answered : .sent
            (isResponding ? responseBody : requestBody).sendHead()
            settle()
        case .reply:
            self.verdict = "replied"
            let body = run.replyBody.string
            run.stopHooks()
            responseBody.fill(body)
            guard !isResponding, run.hasResponseHooks else { return state = .answered }
            isResponding = true
            take(run.startResponse())
        case .end:
            self.verdict = "replied"
            run.stopHooks()
            end { trailers in
                for index in 0..<run.ending.count {
                    trailers.add(name: run.ending[index].name, value: run.ending[index].value)
                }
            }
        case .refuse(let refusal):
            self.verdict = "failed"
            fail(.refused(refusal, isResponse: run.phase == .response))
        case .exhausted, .fail(.memoryLimit):
            self.verdict = "failed"
            fail(.policyExhausted)
        case .fail:
            self.verdict = "failed"
            fail(.policyFailed(requestID: RequestNumber.text(1)))
        }
    }

    /// As the exchange answers for a policy that failed.
    private func fail(_ fault: Fault) {
        run?.stopHooks()
        guard !responseBody.isHeadSent else {
            return end { trailers in
                fault.message.withBytes { LocalReply.appendTrailers(to: trailers, status: fault.status, message: $0) }
            }
        }
        let type = request.value(.contentType)
        let isGRPC = fault.message.withBytes {
            LocalReply.fill(
                response, status: fault.status, httpStatus: fault.httpStatus, message: $0, requestType: type)
        }
        responseBody.fill(isGRPC ? "" : fault.message)
        state = .answered
    }

    /// Ends a response that has begun, as the exchange does.
    private func end(_ addTrailers: (HeaderList) -> Void) {
        let outcome = FaultOutcome(
            headSent: true, isGRPC: SpecExchange.isGRPC(response), atMessageBoundary: responseBody.isAtMessageBoundary,
            end: .cancelled)
        isReset = outcome != .trailers
        responseBody.end { if outcome == .trailers { addTrailers($0) } }
        state = .answered
    }

    /// The client is gone, or the response is over: the log hooks run.
    func finish() {
        if policy.set?.hasLogHooks == true { run?.log() }
        giveUpRun()
    }

    private func giveUpRun() {
        guard let run else { return }
        self.run = nil
        policy.host.end(run)
    }

    // MARK: What is seen

    var view: LuaValue {
        var entries: [LuaValue.Entry] = [
            .init(.string("verdict"), .string(verdict)),
            .init(.string("request"), SpecExchange.view(request, requestBody)),
        ]
        if isReset { entries.append(.init(.string("reset"), .bool(true))) }
        if let index = run?.pointer.pointee.subject.upstream, policy.upstreams.indices.contains(index) {
            entries.append(.init(.string("upstream"), .string(policy.upstreams[index])))
        }
        if state == .answered {
            entries.append(.init(.string("response"), SpecExchange.view(response, responseBody)))
        }
        return .table(entries)
    }

    private static func view(_ head: HeaderList, _ body: SpecBody) -> LuaValue {
        .record([("fields", head.asList)] + body.view(isGRPC: isGRPC(head)))
    }

    static func isGRPC(_ head: HeaderList) -> Bool {
        head.value(.contentType).map(GRPCContentType.isGRPC) ?? false
    }
}

extension LuaValue {
    static func record(_ fields: [(String, LuaValue)]) -> LuaValue {
        .table(fields.map { Entry(.string($0.0), $0.1) })
    }
}

extension HeaderList {
    func add(_ name: String, _ value: String) {
        name.withBytes { name in value.withBytes { value in add(name: name, value: value) } }
    }

    /// Pairs of name and value.
    var asList: LuaValue {
        .list((0..<count).map { .list([.string(self[$0].name.string), .string(self[$0].value.string)]) })
    }
}
