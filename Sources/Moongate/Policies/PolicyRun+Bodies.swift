import MoongateLua

/// The waiting hooks of a run, and the bodies they take part in.
extension Pooled where Record == PolicyRunRecord {
    // MARK: For leaves

    /// Where the hook that runs takes part in the body of its direction; made when it first asks.
    func openStage() -> BodyStage? {
        if let stage = pointer.pointee.stage { return stage }
        guard hasBody else { return nil }
        let isResponse = pointer.pointee.phase == .response
        let body =
            (isResponse ? pointer.pointee.responseBody : pointer.pointee.requestBody)
            ?? PolicyBody(self, isResponse: isResponse)
        if isResponse { pointer.pointee.responseBody = body } else { pointer.pointee.requestBody = body }
        let stage = body.addStage(pointer.pointee.current, pointer.pointee.visit)
        pointer.pointee.stage = stage
        return stage
    }

    /// The hook that runs sees a body.
    var hasBody: Bool { pointer.pointee.phase == .request || pointer.pointee.phase == .response }

    /// The hook takes the body piece by piece: nobody knows how long it will be.
    func beginStreaming(_ stage: BodyStage) {
        guard !stage.streams else { return }
        stage.streams = true
        guard !pointer.pointee.isHeadGone else { return }
        stage.body.flow.head?.remove(name: Bytes("content-length"))
    }

    // MARK: Moving on

    /// The hook that waits for this answer.
    func frame(_ number: UInt64) -> SuspendedHook? {
        pointer.pointee.frames.first { $0.waitNumber == number && $0.wait == .answer }
    }

    func pump() {
        pointer.pointee.requestBody?.pump()
        pointer.pointee.responseBody?.pump()
    }

    /// Bytes have come for the first stage. What came before them moves on now, they themselves at the latest when the
    /// turn has ended.
    func bodyReceived() {
        pointer.pointee.host._withUnsafeGuaranteedRef { $0.expectTurnEnd(self) }
        drive()
    }

    /// The other side has taken bytes: there may be room again.
    func queueWasRead() { pointer.pointee.host._withUnsafeGuaranteedRef { $0.expectTurnEnd(self) } }

    /// After something has happened to bodies or waiting hooks: moves what can move, and tells the owner.
    func drive() {
        guard let owner = pointer.pointee.owner else { return }
        pump()
        let host = pointer.pointee.host.takeUnretainedValue()
        if let verdict = pointer.pointee.verdict {
            pointer.pointee.verdict = nil
            host.resumed?(owner, verdict)
        } else if pointer.pointee.waitsAgain {
            pointer.pointee.waitsAgain = false
            host.waitsAgain?(owner)
        }
        guard pointer.pointee.owner == owner else { return }
        host.moved?(owner)
    }

    // MARK: Ending

    /// Gives up what a hook waits for: its answer will find nobody.
    func drop(_ frame: SuspendedHook) {
        frame.stage?.frame = nil
        frame.stage = nil
        pointer.pointee.frames.removeAll { $0 === frame }
        pointer.pointee.work?.cancelWait(frame.waitNumber)
        frame.ended()
        frame.visit.pointee.engine?._withUnsafeGuaranteedRef { $0.vm.abandon(frame.thread) }
    }

    /// Gives up the request hooks that hold the request's head.
    func stopHeadHooks() {
        for frame in pointer.pointee.frames where !frame.isDetached { drop(frame) }
    }

    /// Gives up all waiting hooks and the bodies they took part in.
    func stopHooks() {
        pointer.pointee.waitNumber &+= 1
        pointer.pointee.verdict = nil
        pointer.pointee.waitsAgain = false
        cancelSteps()
        for frame in pointer.pointee.frames { drop(frame) }
        guard pointer.pointee.requestBody != nil || pointer.pointee.responseBody != nil else { return }
        pointer.pointee.requestBody?.close()
        pointer.pointee.responseBody?.close()
        pointer.pointee.requestBody = nil
        pointer.pointee.responseBody = nil
    }
}
