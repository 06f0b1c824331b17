import CMoongate
import MoongateLua

/// The log hooks, which run when an exchange has ended.
extension Pooled where Record == PolicyRunRecord {
    /// Runs the log hooks of all policies that were reached. None of them has a say in anything.
    func log() {
        stopHooks()
        pointer.pointee.phase = .log
        pointer.pointee.isMessageHook = false
        let instances = pointer.pointee.instances
        for place in 0..<pointer.pointee.ran.count {
            let index = pointer.pointee.ran[place]
            guard instances[Int(index)].log != 0 else { continue }
            pointer.pointee.current = index
            runLogHook(instances + Int(index))
        }
    }

    private func runLogHook(_ instance: UnsafeMutablePointer<PolicyInstance>) {
        guard let visit = enter(instance.pointee.engine), let handle = visit.lend(.handle) else { return }
        let engine = instance.pointee.engine.takeUnretainedValue()
        mg_object_arm(handle)
        instance.pointee.cells.countRun(.onLog)
        let began = instance.pointee.tally.begin(.onLog)
        var outcome = engine.vm.start(
            LuaReference(raw: instance.pointee.log), argument: LuaReference(raw: handle.pointee.reference),
            scope: visit.scope)
        if case .waiting(let thread) = outcome { outcome = refuseWait(thread, engine, visit) }
        if began != 0 {
            instance.pointee.tally.end(.onLog, began: began, memory: engine.vm.memoryInUse, instance.pointee.cells)
        }
        pointer.pointee.stage = nil
        guard case .failed = outcome else { return }
        let error = engine.vm.lastError
        log(error)
        instance.pointee.cells.countError(.onLog, PolicyErrorReason(error.reason))
    }

    /// The function that wants to wait raises an error; a script that catches it and waits again is given up.
    private func refuseWait(_ thread: LuaThread, _ engine: PolicyEngine, _ visit: PolicyVisit) -> LuaOutcome {
        pointer.pointee.wait = .answer
        pointer.pointee.work?.cancelWait(pointer.pointee.waitNumber)
        let outcome = engine.vm.resume(thread, raising: "on_log cannot wait: the request is over", scope: visit.scope)
        guard case .waiting(let thread) = outcome else { return outcome }
        pointer.pointee.work?.cancelWait(pointer.pointee.waitNumber)
        engine.vm.abandon(thread)
        return .finished
    }
}
