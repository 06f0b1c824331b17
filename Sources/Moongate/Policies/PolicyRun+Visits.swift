import CMoongate
import MoongateLua

/// The engines that a run has entered.
extension Pooled where Record == PolicyRunRecord {
    /// The run's visit of an engine whose hook is about to run, if the engine takes one more run. `nil`: it does not.
    @inline(__always) func admitted(_ engine: Unmanaged<PolicyEngine>) -> PolicyVisit? {
        if self.visit.pointee.engine?.toOpaque() == engine.toOpaque() { return self.visit }
        return visit(engine, mustBeAdmitted: true)
    }

    /// The same for runs that no engine refuses.
    func enter(_ engine: Unmanaged<PolicyEngine>) -> PolicyVisit? { visit(engine, mustBeAdmitted: false) }

    private func visit(_ engine: Unmanaged<PolicyEngine>, mustBeAdmitted: Bool) -> PolicyVisit? {
        var known = self.visits
        while let visit = known {
            if visit.pointee.engine?.toOpaque() == engine.toOpaque() {
                self.visit = visit
                return visit
            }
            known = visit.pointee.next
        }
        return engine._withUnsafeGuaranteedRef { engine in
            guard !mustBeAdmitted || engine.admits(self), let visit = engine.visits.take(engine, self) else {
                return nil
            }
            visit.pointee.next = self.visits
            self.visits = visit
            self.visit = visit
            return visit
        }
    }

    /// Some hook of the run has been in `engine`.
    func hasEntered(_ engine: PolicyEngine) -> Bool {
        var next = self.visits
        while let visit = next {
            if visit.pointee.engine?.toOpaque() == Unmanaged.passUnretained(engine).toOpaque() { return true }
            next = visit.pointee.next
        }
        return false
    }

    /// Another phase begins: every object that was lent in the one before is dead.
    func renew() {
        var next = self.visits
        while let visit = next {
            visit.pointee.scope.generation &+= 1
            next = visit.pointee.next
        }
    }

    /// The run is over: gives back what it was lent.
    func leave() {
        let record = pointer
        record.pointee.visit = record.pointee.host._withUnsafeGuaranteedRef { $0.nowhere }
        while let visit = record.pointee.visits {
            record.pointee.visits = visit.pointee.next
            visit.pointee.engine?._withUnsafeGuaranteedRef { $0.visits.give(visit) }
        }
    }

    /// An object for the hook that runs. `nil`: the VM's memory is spent.
    @inline(__always) func lend(_ object: PolicyObject) -> LuaObject? { self.visit.lend(object) }

    /// Whom the run's memory counts for; `nil`: no client.
    var clientShare: ClientShare? { self.subject.client.map { ClientShare($0.socket) } }
}
