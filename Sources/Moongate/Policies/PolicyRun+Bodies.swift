import MoongateLua

/// The waiting hooks of a run, and the bodies they take part in.
extension Pooled where Record == PolicyRunRecord {
    // MARK: For leaves

    /// Where the hook that runs takes part in the body of its direction; made when it first asks.
    func openStage() -> BodyStage? {
        if let stage = self.stage { return stage }
        guard hasBody else { return nil }
        let isResponse = self.phase == .response
        let body =
            (isResponse ? self.responseBody : self.requestBody)
            ?? PolicyBody(self, isResponse: isResponse)
        if isResponse { self.responseBody = body } else { self.requestBody = body }
        let stage = body.addStage(self.current, self.visit)
        self.stage = stage
        return stage
    }

    /// The hook that runs sees a body.
    var hasBody: Bool { self.phase == .request || self.phase == .response }

    /// The hook takes the body piece by piece: nobody knows how long it will be.
    func beginStreaming(_ stage: BodyStage) {
        guard !stage.streams else { return }
        stage.streams = true
        guard !self.isHeadGone else { return }
        stage.body.flow.head?.remove(name: Bytes("content-length"))
    }

    // MARK: Moving on

    /// The hook that waits for this answer.
    func frame(_ number: UInt64) -> SuspendedHook? {
        self.frames.first { $0.waitNumber == number && $0.wait == .answer }
    }

    func pump() {
        self.requestBody?.pump()
        self.responseBody?.pump()
    }

    /// Bytes have come for the first stage. What came before them moves on now, they themselves at the latest when the
    /// turn has ended.
    func bodyReceived() {
        self.host._withUnsafeGuaranteedRef { $0.expectTurnEnd(self) }
        drive()
    }

    /// The other side has taken bytes: there may be room again.
    func queueWasRead() { self.host._withUnsafeGuaranteedRef { $0.expectTurnEnd(self) } }

    /// After something has happened to bodies or waiting hooks: moves what can move, and tells the owner.
    func drive() {
        guard let owner = self.owner else { return }
        pump()
        let host = self.host.takeUnretainedValue()
        if let verdict = self.verdict {
            self.verdict = nil
            host.resumed?(owner, verdict)
        } else if self.waitsAgain {
            self.waitsAgain = false
            host.waitsAgain?(owner)
        }
        guard self.owner == owner else { return }
        host.moved?(owner)
    }

    // MARK: Ending

    /// Gives up what a hook waits for: its answer will find nobody.
    func drop(_ frame: SuspendedHook) {
        frame.stage?.frame = nil
        frame.stage = nil
        self.frames.removeAll { $0 === frame }
        self.startedWork?.cancelWait(frame.waitNumber)
        frame.ended()
        frame.visit.pointee.engine?._withUnsafeGuaranteedRef { $0.vm.abandon(frame.thread) }
    }

    /// Gives up the request hooks that hold the request's head.
    func stopHeadHooks() {
        for frame in self.frames where !frame.isDetached { drop(frame) }
    }

    /// Gives up all waiting hooks and the bodies they took part in.
    func stopHooks() {
        self.waitNumber &+= 1
        self.verdict = nil
        self.waitsAgain = false
        cancelSteps()
        for frame in self.frames { drop(frame) }
        guard self.requestBody != nil || self.responseBody != nil else { return }
        self.requestBody?.close()
        self.responseBody?.close()
        self.requestBody = nil
        self.responseBody = nil
    }
}
