import MoongateLua

/// Hooks that have waited go on, and the phase behind them.
extension Pooled where Record == PolicyRunRecord {
    /// What a hook that waits means to the head: it waits, too, or it goes on because the hook streams.
    func headVerdict(_ frame: SuspendedHook) -> PolicyVerdict {
        while true {
            switch frame.wait {
            case .answer: return .pause
            case .chunk, .message, .trailers:
                frame.isDetached = true
                self.host._withUnsafeGuaranteedRef { $0.expectTurnEnd(self) }
                return .proceed
            case .body:
                guard let stage = frame.stage else { return .pause }
                stage.body.pump(upTo: stage)
                guard stage.body.fill(stage) else {
                    drop(frame)
                    return .refuse(.bodyTooLarge)
                }
                guard stage.inputEnded, !waits(for: .bodies) else { return .pause }
                guard let answer = stage.body.bodyAnswer(stage) else { return outOfMemory(frame) }
                let verdict = resume(frame, answer)
                if verdict != .pause { return verdict }
            }
        }
    }

    /// Has the bodies move as far as they can before the head goes on.
    func finishBufferedBody() -> PolicyVerdict {
        pump()
        guard let verdict = self.verdict else { return .proceed }
        self.verdict = nil
        return verdict
    }

    /// A waiting hook goes on, and behind it the phase, if that waited for it. What comes of it is told by `drive`.
    ///
    /// - Parameter answer: `nil`: the VM's memory is spent.
    func goOn(_ frame: SuspendedHook, _ answer: PolicyAnswer?) {
        let verdict = answer.map { resume(frame, $0) } ?? outOfMemory(frame)
        if frame.isDetached {
            if verdict != .proceed && verdict != .pause { self.verdict = verdict }
            return
        }
        headWentOn(verdict == .pause ? headVerdict(frame) : verdict)
    }

    /// A hook that held the head has gone on, or its turn has come: the next ones follow.
    func headWentOn(_ verdict: PolicyVerdict) {
        var verdict = verdict
        if verdict == .proceed { verdict = nextHooks() }
        self.waitsAgain = verdict == .pause
        if verdict != .pause { self.verdict = verdict }
    }

    private func nextHooks() -> PolicyVerdict {
        switch self.phase {
        case .request: runRequestHooks()
        case .response: runResponseHooks()
        case .idle, .timer, .close, .log: .proceed
        }
    }

    /// A waiting hook gets a gRPC message; `nil`: the VM's memory is spent. Runs of the hook for messages begin here.
    func give(_ message: LuaObject?, to frame: SuspendedHook) {
        guard frame.isMessageHook else { return goOn(frame, message.map { .object($0) }) }
        let instance = self.instances + Int(frame.instance)
        instance.pointee.cells.countRun(.onMessage)
        let began = instance.pointee.statsRow.begin(.onMessage)
        goOn(frame, message.map { .object($0) })
        if began != 0 { timed(instance, .onMessage, began) }
    }

    /// A waiting hook fails: what it waited for cannot be given to it. To a script, nothing would look like the end.
    private func outOfMemory(_ frame: SuspendedHook) -> PolicyVerdict {
        let (current, phase, visit) = (self.current, self.phase, self.visit)
        enter(frame)
        drop(frame)
        let verdict = failed()
        if verdict == .proceed && frame.isDetached {
            (self.current, self.phase, self.visit) = (current, phase, visit)
        }
        return verdict
    }

    /// The run is that of the hook that waited.
    private func enter(_ frame: SuspendedHook) {
        self.current = frame.instance
        self.phase = frame.phase
        self.isMessageHook = frame.isMessageHook
        self.visit = frame.visit
    }

    /// A waiting hook never goes on, and its exchange ends.
    func refuse(_ frame: SuspendedHook, _ refusal: PolicyRefusal) {
        enter(frame)
        drop(frame)
        self.verdict = .refuse(refusal)
    }

    /// Runs a waiting hook up to its next wait or its end.
    private func resume(_ frame: SuspendedHook, _ answer: PolicyAnswer) -> PolicyVerdict {
        let record = pointer
        let before = (
            current: record.pointee.current, phase: record.pointee.phase, stage: record.pointee.stage,
            isMessageHook: record.pointee.isMessageHook, visit: record.pointee.visit
        )
        enter(frame)
        record.pointee.stage = frame.stage
        record.pointee.isHeadGone = frame.isDetached
        thaw()
        frame.ended()
        var outcome = currentEngine._withUnsafeGuaranteedRef { engine in
            switch answer {
            case .values(let values): engine.vm.resume(frame.thread, with: values, scope: frame.visit.scope)
            case .object(let object): engine.vm.resume(frame.thread, with: object, scope: frame.visit.scope)
            }
        }
        var isExhausted = false
        if outcome == .failed && frame.isMessageHook { outcome = messageHookFailed(&isExhausted) }
        frame.stage = record.pointee.stage
        if case .waiting(let thread) = outcome {
            frame.thread = thread
            frame.waitNumber = record.pointee.waitNumber
            frame.wait = takeWait()
            frame.waits()
            frame.stage?.frame = frame
        } else {
            frame.stage?.frame = nil
            frame.stage = nil
            record.pointee.frames.removeAll { $0 === frame }
        }
        let verdict = isExhausted ? .exhausted : verdict(of: outcome)
        record.pointee.stage = before.stage
        record.pointee.isHeadGone = false
        guard frame.isDetached, verdict == .proceed || verdict == .pause else { return verdict }
        (record.pointee.current, record.pointee.phase) = (before.current, before.phase)
        record.pointee.isMessageHook = before.isMessageHook
        record.pointee.visit = before.visit
        return verdict
    }

    /// The hook for messages has failed at one of them. Where that harms nothing, it is called for the next one all the
    /// same.
    private func messageHookFailed(_ isExhausted: inout Bool) -> LuaOutcome {
        guard currentInstance.pointee.onError == .continue, let handle = lend(.handle) else { return .failed }
        isExhausted = failed() == .exhausted
        if isExhausted { return .failed }
        return startMessageLoop(handle, self.visit)
    }

    /// Loops over header maps that a wait has left unfinished freeze nothing.
    private func thaw() {
        let maps: [PolicyObject] = [.requestHeaders, .responseHeaders, .requestTrailers, .responseTrailers]
        for map in maps { self.visit.pointee.objects[map]?.pointee.iterators = 0 }
    }

    func takeWait() -> SuspendedHook.Wait {
        defer { self.wait = .answer }
        return self.wait
    }
}
