import CMoongate
import MoongateLua

/// What a run does in a later turn, when the time of scripts in this one is over.
extension Pooled where Record == PolicyRunRecord {
    /// Whether what comes next has to wait for a later turn; it is in the queue then, and goes on by itself.
    @inline(__always) func waits(for kind: PolicyStep.Kind) -> Bool { mg_turn_is_spent() && postpone(kind) }

    @inline(never) private func postpone(_ kind: PolicyStep.Kind) -> Bool {
        guard self.host._withUnsafeGuaranteedRef({ $0.turn.awaitShare != nil }) else {
            // Nobody turns a loop here.
            mg_turn_begin(false)
            return false
        }
        if self.steps.contains(where: { $0.kind == kind }) { return true }
        // A request that has begun goes before those of its connection that have not.
        let isFirst = kind == .head && self.ran.count > 0
        return postpone(kind, first: isFirst) { run in
            switch kind {
            case .head: run.headGoesOn()
            case .log: run.logGoesOn()
            case .bodies, .answer, .timer, .close: run.drive()
            }
        }
    }

    /// Whether the answer to a wait has to wait for a later turn; `action` takes it then.
    @inline(__always) func answerWaits(_ action: @autoclosure @escaping () -> Void) -> Bool {
        mg_turn_is_spent() && postpone(.answer) { _ in action() }
    }

    @inline(never) private func postpone(
        _ kind: PolicyStep.Kind, first: Bool = false, _ action: @escaping (PolicyRun) -> Void
    ) -> Bool {
        let run = self
        let step = PolicyStep(kind) {
            run.steps.removeAll { $0.place == nil }
            action(run)
        }
        let lane = lane
        guard self.host._withUnsafeGuaranteedRef({ $0.turn.postpone(step, lane, first: first) }) else {
            return false
        }
        self.steps.append(step)
        return true
    }

    private var lane: PolicyTurn.Lane {
        if self.phase == .timer || self.phase == .close {
            return .timers(ObjectIdentifier(currentEngine.takeUnretainedValue()))
        }
        return .connection(self.subject.connection.map { UInt(bitPattern: $0.toOpaque()) } ?? 0)
    }

    /// Nothing of these kinds goes on in a later turn.
    @inline(__always) func cancelSteps(where isMeant: (PolicyStep.Kind) -> Bool = { _ in true }) {
        if !self.steps.isEmpty { cancel(where: isMeant) }
    }

    @inline(never) private func cancel(where isMeant: (PolicyStep.Kind) -> Bool) {
        self.host._withUnsafeGuaranteedRef { host in
            for step in self.steps where isMeant(step.kind) { host.turn.cancel(step) }
        }
        self.steps.removeAll { $0.place == nil }
    }

    /// Log hooks are still to come, and need what they log.
    var awaitsLog: Bool { self.phase == .log && !self.steps.isEmpty }

    // MARK: Going on

    private func headGoesOn() {
        headWentOn(.proceed)
        drive()
    }

    private func logGoesOn() {
        runLogHooks()
        guard !awaitsLog, let owner = self.owner else { return }
        self.host.takeUnretainedValue().logged?(owner)
    }
}
