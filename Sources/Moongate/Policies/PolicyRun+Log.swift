import CMoongate
import MoongateLua

/// The log hooks, which run when an exchange has ended.
extension Pooled where Record == PolicyRunRecord {
    /// Runs the log hooks of all policies that were reached, in later turns if need be: see `awaitsLog`. None of them has a say in
    /// anything.
    func log() {
        stopHooks()
        self.phase = .log
        self.isMessageHook = false
        self.position = 0
        runLogHooks()
    }

    /// Runs those that are left, or those that this turn has time for.
    func runLogHooks() {
        let instances = self.instances
        while self.position < self.ran.count {
            let index = self.ran[self.position]
            if instances[Int(index)].log != 0 && waits(for: .log) { return }
            self.position += 1
            guard instances[Int(index)].log != 0 else { continue }
            self.current = index
            runLogHook(instances + Int(index))
        }
    }

    private func runLogHook(_ instance: UnsafeMutablePointer<PolicyInstance>) {
        guard let visit = enter(instance.pointee.engine), let handle = visit.lend(.handle) else { return }
        let engine = instance.pointee.engine.takeUnretainedValue()
        mg_object_arm(handle)
        instance.pointee.cells.countRun(.onLog)
        let began = instance.pointee.statsRow.begin(.onLog)
        var outcome = engine.vm.start(
            LuaReference(raw: instance.pointee.log), argument: LuaReference(raw: handle.pointee.reference),
            scope: visit.scope)
        if case .waiting(let thread) = outcome { outcome = refuseWait(thread, engine, visit) }
        if began != 0 {
            instance.pointee.statsRow.end(.onLog, began: began, memory: engine.vm.memoryInUse, instance.pointee.cells)
        }
        self.stage = nil
        guard case .failed = outcome else { return }
        let error = engine.vm.lastError
        log(error)
        instance.pointee.cells.countError(.onLog, PolicyErrorReason(error.reason))
        if error.reason == .time { _ = overran() }
    }

    /// The function that wants to wait raises an error; a script that catches it and waits again is given up.
    private func refuseWait(_ thread: LuaThread, _ engine: PolicyEngine, _ visit: PolicyVisit) -> LuaOutcome {
        self.wait = .answer
        self.startedWork?.cancelWait(self.waitNumber)
        let outcome = engine.vm.resume(thread, raising: "on_log cannot wait: the request is over", scope: visit.scope)
        guard case .waiting(let thread) = outcome else { return outcome }
        self.startedWork?.cancelWait(self.waitNumber)
        engine.vm.abandon(thread)
        return .finished
    }
}
