/// Attempts beside the first one (gRFC A6, hedging). Only while nothing of a response has been passed on, and with a
/// request that is in the buffer as a whole.
extension Pooled where Record == ExchangeRecord {
    // MARK: The next one

    /// Another attempt begins after the route's delay, unless there is an answer by then.
    func setHedgeDelay(_ plan: RetryPlan) {
        guard let host = self.host else { return }
        self.attemptTimer.target = opaque
        self.attemptTimer.action = { Exchange(address: $0).hedgeDelayIsOver() }
        host.loop.set(attemptTimerPointer, at: host.loop.now &+ plan.attemptTime)
    }

    private func hedgeDelayIsOver() {
        guard downstream.isOpen, self.attempt.mayFollow else { return }
        addHedge()
        if self.attempt.number < retryPlan.maxAttempts { setHedgeDelay(retryPlan) }
    }

    /// - Returns: whether one more attempt is under way.
    @discardableResult private func addHedge() -> Bool {
        let plan = retryPlan
        guard self.attempt.number < plan.maxAttempts, !self.responseHeadSent, self.requestEnded,
            self.requestBody.retains, self.requestBody.total <= plan.buffer, let host = self.host,
            let generation = self.generation, let memory = host.hedgedStreams.permit(self, loop: host.loop),
            chargeRetry()
        else { return false }
        writeTimeout()
        let attempt = host.hedgedStreams.begin(
            self, generation.upstream(self.upstreamIndex), loop: host.loop, excluding: self.endpoint, memory)
        writePreviousAttempts(self.attempt.number, to: attempt.record.pointee.request)
        self.attempt.number &+= 1
        let hedges = self.hedges ?? Hedges()
        self.hedges = hedges
        hedges.open.append(attempt)
        host.hedgedStreams.assign(attempt)
        return hedges.open.contains { $0 === attempt }
    }

    // MARK: How attempts end

    /// The exchange's own attempt has ended in a way that need not be the call's answer.
    /// - Returns: whether another attempt may still give one.
    func leavesToHedges(_ ending: RetryPlan.Endings) -> Bool {
        guard !retryPlan.covered.isDisjoint(with: ending), hasHedges || addHedge() else { return false }
        giveAttemptUp()
        self.phase = .hedging
        return true
    }

    private var hasHedges: Bool { self.hedges.map { !$0.open.isEmpty } ?? false }

    /// A hedged attempt has its final status, or none where there will not be one.
    func hedgeAnswered(_ attempt: HedgedAttempt, _ status: Bytes?) {
        let httpStatus = attempt.record.pointee.response.value(.status).map(HTTPStatus.parse) ?? 0
        let ending = RetryPlan.Endings(status, http: httpStatus)
        let isFatal = retryPlan.covered.isDisjoint(with: ending)
        self.hedges?.open.removeAll { $0 === attempt }
        if !isFatal && (self.phase != .hedging || hasHedges || addHedge()) { return attempt.cancel() }
        takeOver(attempt)
    }

    /// A hedged attempt ended without a response.
    func hedgeFailed(_ attempt: HedgedAttempt, _ fault: Fault, _ ending: RetryPlan.Endings) {
        self.hedges?.open.removeAll { $0 === attempt }
        guard downstream.isOpen, self.phase == .hedging, !hasHedges else { return }
        if !retryPlan.covered.isDisjoint(with: ending) && addHedge() { return }
        fail(fault)
    }

    /// Nothing of the attempts is needed any more.
    func endHedges() {
        self.hedges?.cancelAll()
        self.hedges = nil
        self.takenStream = nil
    }

    // MARK: The answer

    /// The attempt's response is the call's answer: the exchange goes on with its stream, and all others are cancelled.
    func takeOver(_ attempt: HedgedAttempt) {
        guard downstream.isOpen, let host = self.host else { return }
        self.hedges?.open.removeAll { $0 === attempt }
        abandonUpstream()
        host.loop.clear(attemptTimerPointer)
        // The first attempt's stream has no say any more, but the record must wait until it is closed.
        self.upstream.delegate = Unmanaged.passUnretained(host.lostStreams)
        self.attempt.mayFollow = false
        self.attempt.holdsHead = false
        self.response.reset()
        self.responseTrailers.reset()
        attempt.handOver(to: self)
        self.hedges?.taken = attempt
        self.takenStream = attempt.stream
        host.hedgedStreams.hand(attempt, to: self, of: host)
        if let endpoint = attempt.endpoint { tries(endpoint) }
        self.phase = .forwarded
        self.responseHeadKnown = false
        self.responseEnded = false
        self.upstreamEnded = false
        let hasTrailers = !self.responseTrailers.isEmpty
        responseSectionReceived(endsStream: attempt.hasEnded && !hasTrailers, tooLarge: false)
        if hasTrailers { responseSectionReceived(endsStream: true, tooLarge: false) }
    }
}

/// The attempts beside an exchange's own one.
final class Hedges {
    /// Those that may still give the answer.
    var open: [HedgedAttempt] = []
    /// The one whose stream the exchange goes on with.
    var taken: HedgedAttempt?

    func cancelAll() {
        let attempts = open
        open = []
        for attempt in attempts { attempt.cancel() }
    }
}

/// First attempts whose place another one took.
final class LostStreams: StreamDelegate {
    override func streamClosed(_ stream: StreamOwner, _ end: StreamEnd, _ reason: CloseReason?) {
        Exchange(owner: stream).endIfDone()
    }
}
