/// The policies of an exchange: the listener's before a route is chosen, the route's after, again when one of them
/// changes the route, and all that ran once more, backwards, on the response.
extension Pooled where Record == ExchangeRecord {
    /// Which hooks run or have run last.
    enum PolicyStage: UInt8 {
        case none, listener, route, response
    }

    /// How often policies may change the route: the next change is an error, so that no rewritten path slips past
    /// the policies of its target.
    private static var routeChangeLimit: UInt8 { 2 }

    /// The head is complete and sound: runs the listener's policies, then goes on to the route.
    func runListenerPolicies() { lend(runListenerPolicies) }

    private func runListenerPolicies(_ generation: WorkerGeneration, _ facts: ConnectionFacts) {
        guard let chain = listenerChain(generation, facts), chain.count > 0 else {
            return chooseRoute(generation, facts)
        }
        guard let run = takeRun(generation, facts) else { return policyFailed(.script) }
        self.policyStage = .listener
        requestHooksEnded(run.startRequest(chain))
    }

    /// Without what the route that the request would take now switches off.
    private func listenerChain(_ generation: WorkerGeneration, _ facts: ConnectionFacts) -> PolicyChain? {
        guard generation.hasPolicyExceptions else { return generation.listenerChain(facts.listener) }
        return generation.listenerChain(
            facts.listener, route: generation.match(facts, self.request, self.path.traits))
    }

    /// Runs the listener's policies that the route found before had switched off and the one found now has not, so that
    /// no rewritten path slips past them. False: there are none.
    private func runSkippedPolicies(_ generation: WorkerGeneration, _ facts: ConnectionFacts) -> Bool {
        guard let chain = generation.listenerChain(facts.listener, route: self.route), chain.count > 0 else {
            return false
        }
        guard let run = takeRun(generation, facts) else {
            policyFailed(.script)
            return true
        }
        guard run.lacks(chain) else { return false }
        let isFirst = self.policyStage == .none
        self.policyStage = .listener
        requestHooksEnded(isFirst ? run.startRequest(chain) : run.continueRequest(chain))
        return true
    }

    /// Finds the route of the request as it is now and runs its policies.
    func chooseRoute() { lend(chooseRoute) }

    private func chooseRoute(_ generation: WorkerGeneration, _ facts: ConnectionFacts) {
        self.route = generation.match(facts, self.request, self.path.traits)
        noteEdits(generation)
        if let fault = pathFault(generation, facts, self.route) { return fail(fault) }
        // The policies of the listener, which ran before, see the route on the response.
        if let run = self.policyRun { note(self.route, for: run, generation) }
        if generation.hasPolicyExceptions && runSkippedPolicies(generation, facts) { return }
        guard self.route >= 0 else { return fail(.noRoute) }
        guard let chain = generation.routeChain(self.route), chain.count > 0 else { return forward() }
        guard let run = takeRun(generation, facts) else { return policyFailed(.script) }
        run.subject.requestWritten = false
        run.subject.routeCacheCleared = false
        note(self.route, for: run, generation)
        let isFirst = self.policyStage == .none
        self.policyStage = .route
        requestHooksEnded(isFirst ? run.startRequest(chain) : run.continueRequest(chain))
    }

    private func note(_ route: Int, for run: PolicyRun, _ generation: WorkerGeneration) {
        run.subject.route = route
        run.subject.routeName = route >= 0 ? generation.route(route).pointee.name : .empty
    }

    private func requestHooksEnded(_ verdict: PolicyVerdict) {
        switch verdict {
        case .proceed: self.policyStage == .listener ? listenerPoliciesPassed() : routePoliciesPassed()
        case .pause: requestPaused()
        case .reply: policyReplied()
        case .end: policyEnded()
        case .refuse(let refusal): policyRefused(refusal)
        case .exhausted: policyExhausted()
        case .fail(let reason): policyFailed(reason)
        }
    }

    /// A hook waits, perhaps for a body that does not come.
    private func requestPaused() {
        self.phase = .requestPaused
        if self.policyStage == .route, let generation = self.generation {
            watchSilence(generation.route(self.route).pointee.idleTimeout)
        }
        holdRequestToDeadline()
    }

    private func listenerPoliciesPassed() {
        if let fault = normalizeHead() { return fail(fault) }
        chooseRoute()
    }

    private func routePoliciesPassed() {
        guard let run = self.policyRun, run.subject.requestWritten || run.subject.routeCacheCleared else {
            return forward()
        }
        if let fault = normalizeHead() { return fail(fault) }
        guard run.subject.routeCacheCleared else { return forward() }
        lend { generation, facts in chooseRouteAgain(run, generation, facts) }
    }

    private func chooseRouteAgain(_ run: PolicyRun, _ generation: WorkerGeneration, _ facts: ConnectionFacts) {
        if generation.match(facts, self.request, self.path.traits) == self.route {
            if let fault = pathFault(generation, facts, self.route) { return fail(fault) }
            run.subject.routeCacheCleared = false
            return forward()
        }
        guard self.routeChanges < Exchange.routeChangeLimit else { return fail(.routeUnstable) }
        self.routeChanges &+= 1
        chooseRoute(generation, facts)
    }

    // MARK: Responses

    /// The response's head is known, from the upstream or made here: runs the hooks, then sends it.
    func finishResponseHead() {
        guard let run = self.policyRun, self.policyStage != .response, run.hasResponseHooks else {
            return sendResponseHead()
        }
        self.policyStage = .response
        responseHooksEnded(run.startResponse())
    }

    private func responseHooksEnded(_ verdict: PolicyVerdict) {
        switch verdict {
        case .proceed: sendResponseHead()
        case .pause:
            self.phase = .responsePaused
            holdResponseToDeadline()
        case .reply: policyReplied()
        case .end: policyEnded()
        case .refuse(let refusal): policyRefused(refusal)
        case .exhausted: policyExhausted()
        case .fail(let reason): policyFailed(reason)
        }
    }

    // MARK: Verdicts

    /// A hook that waited has been answered.
    func policiesResumed(_ verdict: PolicyVerdict) {
        guard downstream.isOpen else { return }
        switch self.phase {
        case .requestPaused: requestHooksEnded(verdict)
        case .responsePaused: responseHooksEnded(verdict)
        default: streamingHookEnded(verdict)
        }
    }

    /// A hook that waited has gone on, and the head waits again: what the deadline depends on may have changed.
    func policiesWaitAgain() {
        if downstream.isOpen, self.phase == .requestPaused { holdRequestToDeadline() }
    }

    /// A hook has ended whose head went on long ago.
    private func streamingHookEnded(_ verdict: PolicyVerdict) {
        switch verdict {
        case .proceed, .pause: break
        // Not behind a head that has begun: the hook cannot have asked for it then.
        case .reply: if !self.responseHeadSent { policyReplied() }
        case .end: policyEnded()
        case .refuse(let refusal): policyRefused(refusal)
        case .exhausted: policyExhausted()
        case .fail(let reason): policyFailed(reason)
        }
    }

    /// Bodies that go through policies have moved on: lets both sides know.
    func bodiesMoved() {
        guard downstream.isOpen, let run = self.policyRun else { return }
        if let body = run.requestBody {
            downstream.consume(body.takeConsumed())
            upstream.resume()
        }
        guard let body = run.responseBody else { return }
        openResponseWindow(body)
        guard self.responseHeadSent || self.convertsErrorPage else { return }
        if body.takeEnd() {
            finishResponseBody()
        } else if self.convertsErrorPage {
            errorPageProgressed()
        } else {
            downstream.resume()
        }
    }

    /// Lets the upstream send again what policies have let go or taken up. What is kept meanwhile, until they have it all or
    /// the client takes it, counts for the client: beyond its limit the window stays closed.
    private func openResponseWindow(_ body: PolicyBody) {
        // Nothing more comes: what is there has a window.
        let consumed = self.upstreamEnded ? 0 : body.consumable
        var kept = body.excess(after: consumed)
        if kept <= body.charged || downstream.keep(kept - body.charged) {
            body.charged = max(kept, body.charged)
            body.consume(consumed)
            upstream.consume(consumed)
        } else {
            kept = body.excess(after: 0)
        }
        guard kept < body.charged else { return }
        downstream.release(body.charged - kept)
        body.charged = kept
    }

    // MARK: Calls

    /// Counts what a call carries that a hook is about to wait for. False: the connection's calls carry too much.
    func holdCall(_ octets: Int) -> Bool { downstream.holdCall(octets) }

    /// The call has ended.
    func releaseCall(_ octets: Int) { downstream.releaseCall(octets) }

    // MARK: Answers

    /// The subject's response list holds a whole answer.
    private func policyReplied() {
        guard let run = self.policyRun, let host = self.host else { return }
        run.stopHooks()
        abandonUpstream()
        clearAttemptTimers()
        self.responseTrailers.reset()
        self.responseBody.clear(host.loop.blocks)
        if !isHead { self.responseBody.append(run.replyBody, host.loop.blocks) }
        self.httpStatus = self.response.value(.status).map(HTTPStatus.parse) ?? 0
        self.termination = Bytes("policy_reply")
        self.repliedPolicy = run.current
        takeAnswer()
        if self.policyStage == .response { responseHooksEnded(run.continueResponse()) } else { finishResponseHead() }
    }

    /// The run's `ending` is the status of a response that has begun.
    private func policyEnded() {
        guard let run = self.policyRun, self.responseHeadSent, !self.responseEnded else { return }
        run.stopHooks()
        self.termination = Bytes("policy_reply")
        self.repliedPolicy = run.current
        let status = run.ending.value(.grpcStatus).flatMap(GRPCStatus.init(parsing:)) ?? .unknown
        endResponse(status) { trailers in
            for index in 0..<run.ending.count {
                trailers.add(name: run.ending[index].name, value: run.ending[index].value)
            }
        }
    }

    private func policyRefused(_ refusal: PolicyRefusal) {
        guard let run = self.policyRun else { return }
        self.repliedPolicy = run.current
        fail(.refused(refusal, isResponse: run.phase == .response))
    }

    private func policyFailed(_ reason: PolicyErrorReason) {
        // The call has asked for more than there is; others get on.
        if reason == .memoryLimit { return policyExhausted() }
        failClosed(.policyFailed(requestID: RequestNumber.text(self.number)))
    }

    private func policyExhausted() { failClosed(.policyExhausted) }

    private func failClosed(_ fault: Fault) {
        if let run = self.policyRun { self.repliedPolicy = run.current }
        // No hook of the same run has a say in this answer.
        self.policyStage = .response
        fail(fault)
    }

    // MARK: The run

    /// The exchange's run, begun when it is first needed; `nil` when the script engine is out of memory.
    private func takeRun(_ generation: WorkerGeneration, _ facts: ConnectionFacts) -> PolicyRun? {
        if let run = self.policyRun { return run }
        guard let run = generation.policies?.begin(owner: opaque) else { return nil }
        run.subject.request = self.request
        run.subject.response = self.response
        run.subject.requestFlow = PolicyFlow(
            queue: requestBodyPointer, head: self.request, trailers: self.requestTrailers,
            ended: requestEndedPointer)
        run.subject.responseFlow = PolicyFlow(
            queue: responseBodyPointer, head: self.response, trailers: self.responseTrailers,
            ended: responseEndedPointer, messages: responseMessagesPointer, headSent: responseHeadSentPointer)
        run.subject.connection = self.factsReference
        run.subject.client = clientAddress
        run.subject.upstreamNames = generation.upstreamNames
        run.subject.view = generation.policyView
        run.subject.listener = generation.shared.listenerIndex(facts.listener)
        run.subject.upstreams = Unmanaged.passUnretained(generation.directory)
        run.subject.requestNumber = self.number
        self.policyRun = run
        return run
    }

    /// Goes on with `next`, which differs from the exchange's generation in one script engine: `next` has another in the place of
    /// `engine`. An exchange that has entered `engine` keeps it, with all that its scripts know of the call.
    func change(from generation: WorkerGeneration, to next: WorkerGeneration, without engine: PolicyEngine) {
        guard self.generation === generation else { return }
        if let run = self.policyRun {
            guard !run.hasEntered(engine), let policies = next.policies else { return }
            run.instances = policies.instances
            run.subject.view = next.policyView
        }
        self.generationReference?.release()
        self.generationReference = Unmanaged.passRetained(next)
    }

    /// Gives the run back, waiting or not.
    func endRun() {
        guard let run = self.policyRun else { return }
        self.policyRun = nil
        self.generationReference?._withUnsafeGuaranteedRef { $0.policies?.end(run) }
    }
}
