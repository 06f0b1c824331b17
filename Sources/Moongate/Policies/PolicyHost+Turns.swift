/// The loop's turns, as bodies see them.
extension PolicyHost {
    /// Tells `turnEnded` and `turnBegan` of the loop's turns. On the loop's thread.
    func attach(to loop: EventLoop) {
        let handler = PolicyTurnEnd(self)
        awaitTurnEnd = {
            loop.flushLater(handler)
            // The loop does not keep it, and the host may end in this turn.
            loop.releaseLater(handler)
        }
        awaitNextTurn = { loop.runAgain(handler) }
        let share = PolicyShareBegins(self)
        turn.awaitShare = { loop.runBehindOthers(share) }
    }

    /// Has the bodies of a run move on when the loop's turn ends: what came last may turn out to be the end.
    func expectTurnEnd(_ run: PolicyRun) {
        guard !run.expectsTurnEnd else { return }
        run.expectsTurnEnd = true
        expecting.append(run.pointer)
        if expecting.count == 1 { awaitTurnEnd?() }
    }

    /// The loop's turn has ended: no more comes from the network now.
    func turnEnded() {
        let records = expecting
        expecting = []
        // A run that goes on may end others, and the exchange that keeps this host.
        withExtendedLifetime(self) {
            for record in records where record.pointee.expectsTurnEnd { turnEnded(PolicyRun(record)) }
        }
    }

    private func turnEnded(_ run: PolicyRun) {
        run.expectsTurnEnd = false
        run.requestBody?.newestIsOpen = false
        run.responseBody?.newestIsOpen = false
        run.drive()
    }

    /// Has the bodies of a run go on in the next turn, when others have had theirs.
    func expectNextTurn(_ run: PolicyRun) {
        guard !run.expectsNextTurn else { return }
        run.expectsNextTurn = true
        resting.append(run.pointer)
        if resting.count == 1 { awaitNextTurn?() }
    }

    /// Some run goes on in the next turn.
    var isResting: Bool { !resting.isEmpty }

    /// The loop's next turn has begun.
    func turnBegan() {
        let records = resting
        resting = []
        withExtendedLifetime(self) {
            for record in records where record.pointee.expectsNextTurn { turnBegan(PolicyRun(record)) }
        }
    }

    private func turnBegan(_ run: PolicyRun) {
        run.expectsNextTurn = false
        run.requestBody?.messagesLeft = PolicyBody.messagesPerTurn
        run.responseBody?.messagesLeft = PolicyBody.messagesPerTurn
        run.drive()
    }
}
