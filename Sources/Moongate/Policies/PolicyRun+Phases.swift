import CMoongate
import MoongateConfig
import MoongateLua

/// The phases of a run. Each call gives the verdict of what has run so far; `.pause` promises another one.
extension Pooled where Record == PolicyRunRecord {
    /// Runs the request hooks of `chain`.
    func startRequest(_ chain: PolicyChain) -> PolicyVerdict {
        pointer.pointee.scope.generation &+= 1
        return continueRequest(chain)
    }

    /// Runs the request hooks of another chain, leaving out those that have run: first the listener's policies run,
    /// then the route's, and again another route's if a policy changed the route.
    func continueRequest(_ chain: PolicyChain) -> PolicyVerdict {
        pointer.pointee.phase = .request
        pointer.pointee.chain = chain
        pointer.pointee.position = 0
        return runRequestHooks()
    }

    /// Runs the response hooks of all policies that were reached on the way in, last one first. Also on replies that
    /// policies or the proxy gave, which may have come while a request hook waited: that one never goes on.
    func startResponse() -> PolicyVerdict {
        if pointer.pointee.frames.isEmpty {
            pointer.pointee.scope.generation &+= 1
        } else {
            stopHeadHooks()
        }
        pointer.pointee.phase = .response
        pointer.pointee.position = pointer.pointee.ran.count
        return runResponseHooks()
    }

    /// Runs a function that a policy gave to a timer. The scope is the run's own: no exchange belongs to it.
    func startTimer(_ function: LuaReference, of instance: Int32) -> PolicyVerdict {
        pointer.pointee.scope.generation &+= 1
        pointer.pointee.phase = .timer
        pointer.pointee.current = instance
        currentInstance.pointee.cells.countRun(.timer)
        return firstVerdict(
            pointer.pointee.host._withUnsafeGuaranteedRef { $0.vm.start(function, scope: scopePointer) })
    }

    /// Runs the response hooks that are left after one of them has answered.
    func continueResponse() -> PolicyVerdict { runResponseHooks() }

    /// Whether any policy that was reached on the way in has a response hook.
    var hasResponseHooks: Bool {
        let host = pointer.pointee.host._withUnsafeGuaranteedRef { $0.instances }
        for index in 0..<pointer.pointee.ran.count where host[Int(pointer.pointee.ran[index])].response != 0 {
            return true
        }
        return false
    }

    /// Whether an instance of `chain` was not reached yet.
    func lacks(_ chain: PolicyChain) -> Bool {
        for index in 0..<chain.count where !pointer.pointee.ran.contains(chain[index]) { return true }
        return false
    }

    // MARK: Hooks

    private func runRequestHooks() -> PolicyVerdict {
        let record = pointer
        guard let chain = record.pointee.chain else { return .proceed }
        let instances = record.pointee.host._withUnsafeGuaranteedRef { $0.instances }
        while record.pointee.position < chain.count {
            let index = chain[record.pointee.position]
            record.pointee.position += 1
            if record.pointee.ran.contains(index) { continue }
            record.pointee.ran.append(index)
            let instance = instances + Int(index)
            guard instance.pointee.request != 0 else { continue }
            let verdict = run(instance, index, instance.pointee.request, .onRequest)
            if verdict != .proceed { return verdict }
        }
        return record.pointee.requestBody == nil ? .proceed : settleBody()
    }

    private func runResponseHooks() -> PolicyVerdict {
        let record = pointer
        let instances = record.pointee.host._withUnsafeGuaranteedRef { $0.instances }
        while record.pointee.position > 0 {
            record.pointee.position -= 1
            let index = record.pointee.ran[record.pointee.position]
            let instance = instances + Int(index)
            guard instance.pointee.response != 0 else { continue }
            let verdict = run(instance, index, instance.pointee.response, .onResponse)
            if verdict != .proceed { return verdict }
        }
        return record.pointee.responseBody == nil ? .proceed : settleBody()
    }

    @inline(__always) private func run(
        _ instance: UnsafeMutablePointer<PolicyInstance>, _ index: Int32, _ hook: Int32, _ kind: PolicyHook
    ) -> PolicyVerdict {
        let record = pointer
        guard let handle = record.pointee.objects.handle else { return .fail(.memoryLimit) }
        record.pointee.current = index
        // A loop that a hook before left unfinished freezes nothing for this one.
        record.pointee.objects.requestHeaders?.pointee.iterators = 0
        record.pointee.objects.responseHeaders?.pointee.iterators = 0
        mg_object_arm(handle)
        instance.pointee.cells.countRun(kind)
        let began = instance.pointee.tally.begin(kind)
        let outcome = record.pointee.host._withUnsafeGuaranteedRef {
            $0.vm.start(
                LuaReference(raw: hook), argument: LuaReference(raw: handle.pointee.reference), scope: scopePointer)
        }
        if began != 0 { timed(instance, kind, began) }
        if case .finished = outcome, record.pointee.stage == nil { return .proceed }
        return firstVerdict(outcome)
    }

    /// The verdict of a hook that has asked for the body, waits, or has not come to its end.
    private func firstVerdict(_ outcome: LuaOutcome) -> PolicyVerdict {
        let stage = pointer.pointee.stage
        pointer.pointee.stage = nil
        guard case .waiting(let thread) = outcome else { return verdict(of: outcome) }
        let frame = PolicyFrame(
            pointer.pointee.current, pointer.pointee.phase, thread, pointer.pointee.waitNumber, takeWait())
        frame.stage = stage
        stage?.frame = frame
        pointer.pointee.frames.append(frame)
        return headVerdict(frame)
    }

    /// Out of the way of the runs that are not timed.
    @inline(never) private func timed(
        _ instance: UnsafeMutablePointer<PolicyInstance>, _ kind: PolicyHook, _ began: Instant
    ) {
        let memory = pointer.pointee.host._withUnsafeGuaranteedRef { $0.vm.memoryInUse }
        instance.pointee.tally.end(kind, began: began, memory: memory, instance.pointee.cells)
    }

    private func verdict(of outcome: LuaOutcome) -> PolicyVerdict {
        switch outcome {
        case .finished: return .proceed
        case .waiting: return .pause
        case .stopped:
            if pointer.pointee.isBodyTooLarge {
                pointer.pointee.isBodyTooLarge = false
                return .bodyTooLarge
            }
            currentInstance.pointee.cells.countReply(hook)
            currentInstance.pointee.tally.countReply(hook)
            return .reply
        case .failed: return failed()
        }
    }

    private func failed() -> PolicyVerdict {
        let reason = pointer.pointee.host._withUnsafeGuaranteedRef { host -> PolicyErrorReason in
            let error = host.vm.lastError
            host.log(error, of: self)
            return PolicyErrorReason(error.reason)
        }
        currentInstance.pointee.cells.countError(hook, reason)
        return currentInstance.pointee.onError == .deny ? .fail(reason) : .proceed
    }

    // MARK: After a wait

    /// What a hook that waits means to the head: it waits, too, or it goes on because the hook streams.
    private func headVerdict(_ frame: PolicyFrame) -> PolicyVerdict {
        while true {
            switch frame.wait {
            case .answer: return .pause
            case .chunk, .trailers:
                frame.isDetached = true
                pointer.pointee.host._withUnsafeGuaranteedRef { $0.expectTurnEnd(self) }
                return .proceed
            case .body:
                guard let stage = frame.stage else { return .pause }
                stage.body.pump(upTo: stage)
                guard stage.body.fill(stage) else {
                    drop(frame)
                    return .bodyTooLarge
                }
                guard stage.inputEnded else { return .pause }
                let verdict = resume(frame, stage.body.bodyAnswer(stage))
                if verdict != .pause { return verdict }
            }
        }
    }

    /// Has the bodies move as far as they can before the head goes on.
    private func settleBody() -> PolicyVerdict {
        pump()
        guard let verdict = pointer.pointee.verdict else { return .proceed }
        pointer.pointee.verdict = nil
        return verdict
    }

    /// A waiting hook goes on, and behind it the phase, if that waited for it. What comes of it is told by `drive`.
    func goOn(_ frame: PolicyFrame, _ answer: PolicyAnswer) {
        let verdict = resume(frame, answer)
        if frame.isDetached {
            if verdict != .proceed && verdict != .pause { pointer.pointee.verdict = verdict }
            return
        }
        headWentOn(verdict == .pause ? headVerdict(frame) : verdict)
    }

    private func headWentOn(_ verdict: PolicyVerdict) {
        var verdict = verdict
        if verdict == .proceed { verdict = nextHooks() }
        if verdict != .pause { pointer.pointee.verdict = verdict }
    }

    private func nextHooks() -> PolicyVerdict {
        switch pointer.pointee.phase {
        case .request: runRequestHooks()
        case .response: runResponseHooks()
        case .idle, .timer, .log: .proceed
        }
    }

    /// A waiting hook never goes on, and its exchange ends with `verdict`.
    func refuse(_ frame: PolicyFrame, _ verdict: PolicyVerdict) {
        pointer.pointee.current = frame.instance
        drop(frame)
        pointer.pointee.verdict = verdict
    }

    /// Runs a waiting hook up to its next wait or its end.
    private func resume(_ frame: PolicyFrame, _ answer: PolicyAnswer) -> PolicyVerdict {
        let record = pointer
        let before = (record.pointee.current, record.pointee.phase, record.pointee.stage)
        record.pointee.current = frame.instance
        record.pointee.phase = frame.phase
        record.pointee.stage = frame.stage
        record.pointee.isHeadGone = frame.isDetached
        thaw()
        let outcome = record.pointee.host._withUnsafeGuaranteedRef { host in
            switch answer {
            case .values(let values): host.vm.resume(frame.thread, with: values, scope: scopePointer)
            case .object(let object): host.vm.resume(frame.thread, with: object, scope: scopePointer)
            }
        }
        frame.stage = record.pointee.stage
        if case .waiting(let thread) = outcome {
            frame.thread = thread
            frame.waitNumber = record.pointee.waitNumber
            frame.wait = takeWait()
            frame.stage?.frame = frame
        } else {
            frame.stage?.frame = nil
            frame.stage = nil
            record.pointee.frames.removeAll { $0 === frame }
        }
        let verdict = verdict(of: outcome)
        record.pointee.stage = before.2
        record.pointee.isHeadGone = false
        guard verdict == .proceed || verdict == .pause else { return verdict }
        if frame.isDetached { (record.pointee.current, record.pointee.phase) = (before.0, before.1) }
        return verdict
    }

    /// Loops over header maps that a wait has left unfinished freeze nothing.
    private func thaw() {
        let objects = pointer.pointee.objects
        for map in [objects.requestHeaders, objects.responseHeaders, objects.requestTrailers, objects.responseTrailers]
        {
            map?.pointee.iterators = 0
        }
    }

    private func takeWait() -> PolicyFrame.Wait {
        defer { pointer.pointee.wait = .answer }
        return pointer.pointee.wait
    }

    // MARK: Parts

    // The record's memory does not move, so addresses of its fields stay good.
    var scopePointer: UnsafeMutablePointer<mg_scope> { withUnsafeMutablePointer(to: &pointer.pointee.scope) { $0 } }

    var currentInstance: UnsafeMutablePointer<PolicyInstance> {
        pointer.pointee.host._withUnsafeGuaranteedRef { $0.instances } + Int(pointer.pointee.current)
    }

    var hook: PolicyHook {
        switch pointer.pointee.phase {
        case .idle, .request: .onRequest
        case .response: .onResponse
        case .timer: .timer
        case .log: .onLog
        }
    }
}
