import MoongateLua

/// Who overruns, pays: a client that has a policy exceed its time limit again and again gets nothing from it for a while.
extension Pooled where Record == PolicyRunRecord {
    /// Whether the run's client is barred from an instance's policy at present; counted if so.
    @inline(__always) func isBarred(from instance: Int32) -> Bool {
        self.host._withUnsafeGuaranteedRef { $0.overruns?.isActive == true } && looksBarred(from: instance)
    }

    @inline(never) private func looksBarred(from instance: Int32) -> Bool {
        let instance = self.instances + Int(instance)
        let engine = instance.pointee.engine.takeUnretainedValue()
        guard let client = clientShare, let tracker = engine.host?.overruns,
            tracker.isBarred(client, from: engine.overrunNumber, at: Clock.now())
        else { return false }
        instance.pointee.cells.countOverrunRefusal()
        return true
    }

    /// The current hook has exceeded its time limit.
    /// - Returns: whether the client is barred from the policy because of that.
    @inline(never) func overran() -> Bool {
        let engine = currentEngine.takeUnretainedValue()
        guard let tracker = engine.host?.overruns else { return false }
        let client = self.phase == .timer ? nil : self.subject.client
        let share = client.map { ClientShare($0.socket) }
        let judgement = tracker.overran(engine.overrunNumber, for: share, at: Clock.now())
        if judgement.isWidespread { tellOfOverruns(engine, hasClient: share != nil) }
        if judgement.isNew, let client, let bar = judgement.bar { tellOfBar(engine, client, bar) }
        return judgement.bar != nil
    }

    private func tellOfOverruns(_ engine: PolicyEngine, hasClient: Bool) {
        currentInstance.pointee.cells.countWidespreadOverrun()
        engine.services.logger.error(
            hasClient
                ? "a policy exceeds its time limit for many clients: it is too slow, or its limit too short"
                : "a policy exceeds its time limit in \(self.phase == .close ? "on_close" : "a timer")",
            metadata: ["policy": "\(use.name)"])
    }

    private func tellOfBar(_ engine: PolicyEngine, _ client: ClientAddress, _ bar: UInt64) {
        engine.services.logger.warning(
            "a client has a policy exceed its time limit again and again: it is refused for a while",
            metadata: [
                "policy": "\(use.name)", "client": "\(client.host.string)", "seconds": "\(bar / OverrunHistory.second)",
            ])
    }
}
