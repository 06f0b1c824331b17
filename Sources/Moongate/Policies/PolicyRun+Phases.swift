import CMoongate
import MoongateConfig
import MoongateLua

/// The phases of a run. Each call gives the verdict of what has run so far; `.pause` promises another one.
extension Pooled where Record == PolicyRunRecord {
    /// Runs the request hooks of `chain`.
    func startRequest(_ chain: PolicyChain) -> PolicyVerdict {
        renew()
        return continueRequest(chain)
    }

    /// Runs the request hooks of another chain, leaving out those that have run: first the listener's policies run,
    /// then the route's, and again another route's if a policy changed the route.
    func continueRequest(_ chain: PolicyChain) -> PolicyVerdict {
        self.phase = .request
        self.chain = chain
        self.position = 0
        self.messageHook = -1
        return runRequestHooks()
    }

    /// Runs the response hooks of all policies that were reached on the way in, last one first. Also on replies that
    /// policies or the proxy gave, which may have come while a request hook waited: that one never goes on.
    func startResponse() -> PolicyVerdict {
        if self.frames.isEmpty {
            renew()
        } else {
            stopHeadHooks()
        }
        cancelSteps { $0 == .head }
        self.phase = .response
        self.position = self.ran.count
        self.messageHook = -1
        return runResponseHooks()
    }

    /// Runs a function that a policy gave to a timer. The scope is the run's own: no exchange belongs to it.
    func startTimer(_ function: LuaReference, of place: PolicyUnit.Place) -> PolicyVerdict {
        self.phase = .timer
        self.isMessageHook = false
        // The run began with the instances of its engine alone.
        self.current = place.index
        currentInstance.pointee.cells.countRun(.timer)
        let engine = currentEngine
        guard let visit = enter(engine) else { return failForMemory() }
        return firstVerdict(engine._withUnsafeGuaranteedRef { $0.vm.start(function, scope: visit.scope) })
    }

    /// Runs the hook for the end of an instance, which has one. The scope is the run's own.
    func startClose(_ index: Int32) -> PolicyVerdict {
        self.phase = .close
        self.isMessageHook = false
        self.current = index
        let instance = currentInstance
        instance.pointee.cells.countRun(.onClose)
        guard let visit = enter(instance.pointee.engine) else { return failForMemory() }
        let began = instance.pointee.statsRow.begin(.onClose)
        let outcome = instance.pointee.engine._withUnsafeGuaranteedRef {
            $0.vm.start(
                LuaReference(raw: instance.pointee.close), argument: LuaReference(raw: instance.pointee.config),
                scope: visit.scope)
        }
        if began != 0 { timed(instance, .onClose, began) }
        return firstVerdict(outcome)
    }

    /// Runs the response hooks that are left after one of them has answered.
    func continueResponse() -> PolicyVerdict {
        // That response has no messages.
        self.messageHook = -1
        return runResponseHooks()
    }

    /// Whether any policy that was reached on the way in has a response hook.
    var hasResponseHooks: Bool {
        let instances = self.instances
        for place in 0..<self.ran.count {
            let instance = instances + Int(self.ran[place])
            if instance.pointee.response != 0 || instance.pointee.messages != 0 { return true }
        }
        return false
    }

    /// Whether an instance of `chain` was not reached yet.
    func lacks(_ chain: PolicyChain) -> Bool {
        for index in 0..<chain.count where !self.ran.contains(chain[index]) { return true }
        return false
    }

    // MARK: Hooks

    func runRequestHooks() -> PolicyVerdict {
        let record = pointer
        guard let chain = record.pointee.chain else { return .proceed }
        let instances = record.pointee.instances
        while true {
            if record.pointee.messageHook >= 0 {
                if waits(for: .head) { return .pause }
                let verdict = runMessageHook()
                if verdict != .proceed { return verdict }
            }
            guard record.pointee.position < chain.count else { break }
            let index = chain[record.pointee.position]
            if record.pointee.ran.contains(index) {
                record.pointee.position += 1
                continue
            }
            if isBarred(from: index) { return exhausted(index) }
            if waits(for: .head) { return .pause }
            record.pointee.position += 1
            record.pointee.ran.append(index)
            let instance = instances + Int(index)
            if instance.pointee.messages != 0 { record.pointee.messageHook = index }
            guard instance.pointee.request != 0 else { continue }
            let verdict = run(instance, index, instance.pointee.request, .onRequest)
            if verdict != .proceed { return verdict }
        }
        return record.pointee.requestBody == nil ? .proceed : finishBufferedBody()
    }

    func runResponseHooks() -> PolicyVerdict {
        let record = pointer
        let instances = record.pointee.instances
        while true {
            if record.pointee.messageHook >= 0 {
                if waits(for: .head) { return .pause }
                let verdict = runMessageHook()
                if verdict != .proceed { return verdict }
            }
            guard record.pointee.position > 0 else { break }
            let index = record.pointee.ran[record.pointee.position - 1]
            let instance = instances + Int(index)
            if instance.pointee.response != 0 && isBarred(from: index) { return exhausted(index) }
            if waits(for: .head) { return .pause }
            record.pointee.position -= 1
            if instance.pointee.messages != 0 { record.pointee.messageHook = index }
            guard instance.pointee.response != 0 else { continue }
            let verdict = run(instance, index, instance.pointee.response, .onResponse)
            if verdict != .proceed { return verdict }
        }
        return record.pointee.responseBody == nil ? .proceed : finishBufferedBody()
    }

    @inline(__always) private func run(
        _ instance: UnsafeMutablePointer<PolicyInstance>, _ index: Int32, _ hook: Int32, _ kind: PolicyHook
    ) -> PolicyVerdict {
        let record = pointer
        record.pointee.current = index
        record.pointee.isMessageHook = false
        guard let visit = admitted(instance.pointee.engine) else { return .exhausted }
        guard let handle = visit.lend(.handle) else { return failForMemory() }
        // A loop that a hook before left unfinished freezes nothing for this one.
        visit.pointee.objects[.requestHeaders]?.pointee.iterators = 0
        visit.pointee.objects[.responseHeaders]?.pointee.iterators = 0
        mg_object_arm(handle)
        instance.pointee.cells.countRun(kind)
        let began = instance.pointee.statsRow.begin(kind)
        let outcome = instance.pointee.engine._withUnsafeGuaranteedRef {
            $0.vm.start(
                LuaReference(raw: hook), argument: LuaReference(raw: handle.pointee.reference), scope: visit.scope)
        }
        if began != 0 { timed(instance, kind, began) }
        if case .finished = outcome, record.pointee.stage == nil { return .proceed }
        return firstVerdict(outcome)
    }

    /// Starts the loop that calls the next hook for messages, which then waits for the first one. Bodies without gRPC
    /// messages go by.
    @inline(never) private func runMessageHook() -> PolicyVerdict {
        let record = pointer
        let index = record.pointee.messageHook
        record.pointee.messageHook = -1
        guard bodyIsGRPC else { return .proceed }
        record.pointee.current = index
        record.pointee.isMessageHook = true
        guard let visit = admitted(currentEngine) else { return .exhausted }
        guard let handle = visit.lend(.handle) else { return failForMemory() }
        mg_object_arm(handle)
        return firstVerdict(startMessageLoop(handle, visit))
    }

    func startMessageLoop(_ handle: UnsafeMutablePointer<mg_object>, _ visit: PolicyVisit) -> LuaOutcome {
        currentEngine._withUnsafeGuaranteedRef {
            $0.vm.start(
                LuaReference(raw: currentInstance.pointee.messages),
                argument: LuaReference(raw: handle.pointee.reference), scope: visit.scope)
        }
    }

    /// Whether the body of the phase consists of gRPC messages.
    var bodyIsGRPC: Bool {
        let subject = self.subject
        let head = self.phase == .response ? subject.response : subject.request
        return head?.value(.contentType).map(GRPCContentType.isGRPC) ?? false
    }

    /// The verdict of a hook that has asked for the body, waits, or has not come to its end.
    private func firstVerdict(_ outcome: LuaOutcome) -> PolicyVerdict {
        let stage = self.stage
        self.stage = nil
        guard case .waiting(let thread) = outcome else { return verdict(of: outcome) }
        let frame = SuspendedHook(self, thread, takeWait())
        frame.stage = stage
        stage?.frame = frame
        self.frames.append(frame)
        return headVerdict(frame)
    }

    /// Out of the way of the runs that are not timed.
    @inline(never) func timed(
        _ instance: UnsafeMutablePointer<PolicyInstance>, _ kind: PolicyHook, _ began: Instant
    ) {
        let memory = instance.pointee.engine._withUnsafeGuaranteedRef { $0.vm.memoryInUse }
        instance.pointee.statsRow.end(kind, began: began, memory: memory, instance.pointee.cells)
    }

    func verdict(of outcome: LuaOutcome) -> PolicyVerdict {
        switch outcome {
        case .finished: return .proceed
        case .waiting: return .pause
        case .stopped:
            if let refusal = self.refusal {
                self.refusal = nil
                return .refuse(refusal)
            }
            currentInstance.pointee.cells.countReply(hook)
            currentInstance.pointee.statsRow.countReply(hook)
            guard self.endsResponse else { return .reply }
            self.endsResponse = false
            return .end
        case .failed: return failed()
        }
    }

    /// A policy takes no runs of this client.
    private func exhausted(_ index: Int32) -> PolicyVerdict {
        self.current = index
        return .exhausted
    }

    func failed() -> PolicyVerdict {
        failed(currentEngine._withUnsafeGuaranteedRef { $0.vm.lastError })
    }

    /// The engine has not even room for the objects of a run.
    private func failForMemory() -> PolicyVerdict {
        failed(LuaError(reason: .memory, message: "not enough memory for a run"))
    }

    private func failed(_ error: LuaError) -> PolicyVerdict {
        let reason = PolicyErrorReason(error.reason)
        log(error)
        currentInstance.pointee.cells.countError(hook, reason)
        if reason == .timeLimit && overran() { return .exhausted }
        return currentInstance.pointee.onError == .deny ? .fail(reason) : .proceed
    }

    /// Notes why the hook that ran has failed.
    func log(_ error: LuaError) {
        let index = Int(currentInstance.pointee.index)
        // No request is behind the end of a policy.
        let number =
            self.phase == .close ? nil : RequestNumber.text(self.subject.requestNumber)
        currentEngine._withUnsafeGuaranteedRef {
            $0.log(error, of: index, hook, fields: number.map { ["request": "\($0)"] } ?? [:])
        }
    }

    // MARK: Parts

    // The record's memory does not move, so addresses of its fields stay good.
    var endingPointer: HeaderList {
        self.ending
    }

    var currentInstance: UnsafeMutablePointer<PolicyInstance> {
        self.instances + Int(self.current)
    }

    /// The engine of the hook that runs.
    @inline(__always) var currentEngine: Unmanaged<PolicyEngine> { currentInstance.pointee.engine }

    /// The place in its unit of the instance whose hook runs.
    var place: PolicyUnit.Place { PolicyUnit.Place(index: currentInstance.pointee.index) }

    /// The unit of the policy whose hook runs.
    var unit: PolicyUnit { currentEngine._withUnsafeGuaranteedRef { $0.unit } }

    /// The use of the policy whose hook runs.
    var use: PolicyUnit.Instance { currentInstance.pointee.use }

    var hook: PolicyHook {
        if self.isMessageHook { return .onMessage }
        return switch self.phase {
        case .idle, .request: .onRequest
        case .response: .onResponse
        case .timer: .timer
        case .close: .onClose
        case .log: .onLog
        }
    }
}
