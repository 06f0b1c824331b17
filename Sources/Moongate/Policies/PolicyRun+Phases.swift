import CMoongate
import MoongateConfig
import MoongateLua

/// The phases of a run. Each call gives the verdict of what has run so far; `.pause` promises another one.
extension Pooled where Record == PolicyRunRecord {
    /// Runs the request hooks of `chain`.
    func startRequest(_ chain: PolicyChain) -> PolicyVerdict {
        pointer.pointee.scope.generation &+= 1
        pointer.pointee.phase = .request
        pointer.pointee.chain = chain
        pointer.pointee.position = 0
        return runRequestHooks()
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
        if isWaiting { stopWaiting() }
        pointer.pointee.scope.generation &+= 1
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
        return verdict(
            of: pointer.pointee.host._withUnsafeGuaranteedRef { $0.vm.start(function, scope: scopePointer) })
    }

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

    var isWaiting: Bool { pointer.pointee.waiting != nil }

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
        return .proceed
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
        return .proceed
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
        return verdict(of: outcome)
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
        case .waiting(let thread):
            pointer.pointee.waiting = thread
            return .pause
        case .stopped:
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

    // MARK: Waiting

    /// Goes on after `.pause`. Gives the phase's verdict.
    func resume(with results: [LuaValue]) -> PolicyVerdict {
        guard let thread = pointer.pointee.waiting else { return .proceed }
        pointer.pointee.waiting = nil
        let outcome = pointer.pointee.host._withUnsafeGuaranteedRef {
            $0.vm.resume(thread, with: results, scope: scopePointer)
        }
        let verdict = verdict(of: outcome)
        guard verdict == .proceed else { return verdict }
        switch pointer.pointee.phase {
        case .request: return runRequestHooks()
        case .response: return runResponseHooks()
        case .idle, .timer: return .proceed
        }
    }

    /// Gives up what a hook waits for: its answer will find nobody.
    func stopWaiting() {
        pointer.pointee.waitNumber &+= 1
        pointer.pointee.work?.cancelWaits()
        guard let thread = pointer.pointee.waiting else { return }
        pointer.pointee.waiting = nil
        pointer.pointee.host._withUnsafeGuaranteedRef { $0.vm.abandon(thread) }
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
        }
    }
}
