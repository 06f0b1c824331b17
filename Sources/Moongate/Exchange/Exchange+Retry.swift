/// Further attempts at the upstream (gRFC A6).
///
/// As long as an attempt may follow, the request is kept, and so is the head of a gRPC response once the whole request
/// is in the buffer: the status that decides comes behind it. The first message ends that.
extension Pooled where Record == ExchangeRecord {
    var retryPlan: RetryPlan {
        guard let generation = self.generation, self.route >= 0 else { return RetryPlan() }
        return generation.route(self.route).pointee.retry
    }

    // MARK: What may ask for another attempt

    /// The final head has come, and nothing of it has been passed on.
    /// - Returns: whether the head is of no interest (yet).
    func keepsHead() -> Bool {
        guard let host = self.host else { return false }
        if !retryPlan.isHedged { host.loop.clear(attemptTimerPointer) }
        let status = self.response.value(.grpcStatus)
        if status != nil || !self.responseIsGRPC || self.responseEnded {
            return retry(after: RetryPlan.Endings(status, http: self.httpStatus), RetryPushback(in: self.response))
        }
        let plan = retryPlan
        // Without the whole request a client may be waiting for this head before it goes on.
        guard self.requestEnded, self.requestBody.retains, self.requestBody.total <= plan.buffer,
            self.attempt.number < plan.maxAttempts || plan.isHedged
        else { return false }
        self.attempt.holdsHead = true
        return true
    }

    /// The trailers behind a head that is kept have come.
    /// - Returns: whether another attempt follows.
    func retriesByTrailers() -> Bool {
        let status = self.responseTrailers.value(.grpcStatus)
        return retry(after: RetryPlan.Endings(status, http: 200), RetryPushback(in: self.responseTrailers))
    }

    /// The stream ended before its response did.
    func retriesByReset(_ end: StreamEnd, _ fault: Fault) -> Bool {
        // What a server has cut off once, with its whole connection, is not taken for refused a second time.
        let isRefused = end == .refused || (end == .cutOff && !self.attempt.wasRefused)
        return retry(after: [isRefused ? .refusedStream : .reset, .status(fault.status)])
    }

    /// No endpoint could be reached, or none is there.
    func unavailable(_ reason: String) {
        let fault = Fault.unavailable(reason)
        if retry(after: [.connectFailure, .status(fault.status)]) { return }
        fail(fault)
    }

    private func attemptTimedOut() {
        guard downstream.isOpen else { return }
        noteNoResponse()
        if retry(after: .timedOut) { return }
        let plan = retryPlan
        fail(.perTryTimeout(plan.attemptTime, route: routeName, attempt: self.attempt.number, of: plan.maxAttempts))
    }

    // MARK: Another attempt

    /// Gives the attempt up and prepares the next one, if the route allows one.
    private func retry(after ending: RetryPlan.Endings, _ pushback: RetryPushback = .none) -> Bool {
        guard self.attempt.mayFollow, downstream.isOpen, let host = self.host else { return false }
        let plan = retryPlan
        if plan.isHedged { return self.phase != .hedging && leavesToHedges(ending) }
        guard !plan.covered.isDisjoint(with: ending), self.attempt.number < plan.maxAttempts,
            self.requestBody.retains, pushback != .never
        else { return false }
        var pause = plan.pause(after: self.attempt.number, random: host.random())
        if case .after(let asked) = pushback { pause = asked }
        // What cannot be answered in time is better answered now.
        if self.deadline > 0, host.loop.now &+ pause >= self.deadline { return false }
        guard chargeRetry() else { return false }
        self.attempt.number &+= 1
        giveAttemptUp()
        self.phase = .retrying
        self.attempt.isDue = false
        setAttemptTimer(after: pause) { Exchange(address: $0).pauseIsOver() }
        return true
    }

    /// As before the attempt; its stream ends by itself.
    func giveAttemptUp() {
        abandonAttempt()
        self.attempt.holdsHead = false
        self.responseHeadKnown = false
        self.responseEnded = false
        self.responseIsGRPC = false
        self.httpStatus = 0
        self.response.reset()
        self.responseTrailers.reset()
    }

    private func pauseIsOver() {
        self.attempt.isDue = true
        nextAttempt()
    }

    /// Begins the next attempt once its pause is over and the stream of the last one has closed.
    func nextAttempt() {
        guard self.phase == .retrying, self.attempt.isDue, !firstUpstream.isOpen, downstream.isOpen else { return }
        self.upstreamEnded = false
        self.requestBody.rewind()
        self.attempt.lookups = 0
        writePreviousAttempts(self.attempt.number - 1, to: self.request)
        assign()
    }

    /// gRFC A6, "Exposed Retry Metadata".
    func writePreviousAttempts(_ number: UInt8, to request: HeaderList) {
        guard self.isGRPC else { return }
        String(number).withBytes { request.set(name: Bytes("grpc-previous-rpc-attempts"), value: $0) }
    }

    /// Lets the response go on: it is the answer.
    func releaseHead() {
        self.attempt.holdsHead = false
        acceptResponse()
    }

    // MARK: The limit of an attempt

    /// Begins with the search for an endpoint.
    func setAttemptLimit() {
        let plan = retryPlan
        guard plan.attemptTime > 0, !self.attemptTimer.isSet else { return }
        if plan.isHedged { return setHedgeDelay(plan) }
        setAttemptTimer(after: plan.attemptTime) { Exchange(address: $0).attemptTimedOut() }
    }

    private func setAttemptTimer(
        after pause: UInt64, _ action: @escaping @convention(c) (UnsafeMutableRawPointer) -> Void
    ) {
        guard let host = self.host else { return }
        self.attemptTimer.target = opaque
        self.attemptTimer.action = action
        host.loop.set(attemptTimerPointer, at: host.loop.now &+ pause)
    }

    // MARK: Account

    /// Takes one more attempt from what the upstream may have of them.
    /// - Returns: false when there is none left.
    func chargeRetry() -> Bool {
        guard let generation = self.generation, self.route >= 0, self.upstreamIndex >= 0 else { return false }
        // An attempt that follows another one takes its place.
        if self.attempt.charged == 0 || retryPlan.isHedged {
            guard generation.upstream(self.upstreamIndex).tryBeginRetry() else { return false }
            self.attempt.charged &+= 1
        }
        generation.metrics.route(self.route).retries.add()
        return true
    }

    /// The attempts have ended, or have led to the answer.
    func releaseRetries() {
        guard let generation = self.generation, self.upstreamIndex >= 0 else { return }
        for _ in 0..<self.attempt.charged { generation.upstream(self.upstreamIndex).endRetry() }
        self.attempt.charged = 0
    }
}

extension RetryPlan.Endings {
    /// How a response ended: by its `grpc-status`, else by its HTTP status.
    init(_ status: Bytes?, http: Int) {
        if let status {
            self = GRPCStatus(parsing: status).map { .status($0) } ?? .status(.unknown)
        } else {
            self = .http(http)
        }
    }
}

extension RetryPushback {
    fileprivate init(in headers: HeaderList) {
        guard let place = headers.index(of: Bytes(RetryPushback.field)) else {
            self = .none
            return
        }
        self.init(headers[place].value)
    }
}
