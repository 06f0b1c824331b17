/// Deadlines and silence.
extension Pooled where Record == ExchangeRecord {
    // MARK: The deadline

    /// Finds out until when the exchange may last, and arms the timer; the time counts from the request's head on. Called
    /// whenever the answer may have become another one: a request hook waits (again), or the request goes to an upstream.
    /// - Parameter route: `nil` before one is chosen.
    /// - Returns: false when the time is over, and the exchange was answered.
    @discardableResult
    func applyDeadline(_ route: UnsafePointer<CompiledRoute>?) -> Bool {
        guard let limit = deadlineLimit(route), let host = self.host else {
            forgoDeadline()
            return true
        }
        self.deadlineCause = limit.cause
        self.deadline = self.started &+ min(limit.time, UInt64.max / 4)
        guard self.deadline > host.loop.now else {
            fail(.deadlineExceeded(limit.cause, limit.time, route: routeName))
            return false
        }
        self.timer.target = opaque
        self.timer.action = { Exchange(address: $0).deadlineReached() }
        host.loop.set(timerPointer, at: self.deadline)
        return true
    }

    /// The smallest of what the client, the route and a policy say (T2); `nil`: nobody says anything.
    private func deadlineLimit(_ route: UnsafePointer<CompiledRoute>?) -> DeadlineLimit? {
        // A policy's word takes the place of the route's `timeout`.
        let policy = self.policyRun?.subject.timeout
        let own = DeadlineLimit(
            time: policy ?? route?.pointee.timeout ?? 0, cause: policy == nil ? .route : .policy)
        guard self.isGRPC, let call = grpcDeadline(route), own.time == 0 || call.time < own.time else {
            return own.time > 0 ? own : nil
        }
        return call
    }

    private func grpcDeadline(_ route: UnsafePointer<CompiledRoute>?) -> DeadlineLimit? {
        guard let asked = self.request.value(.grpcTimeout).flatMap(GRPCTimeout.parse) else {
            let time = route?.pointee.absentGRPCTimeout ?? 0
            return time > 0 ? DeadlineLimit(time: time, cause: .absentGRPCTimeout) : nil
        }
        let longest = route?.pointee.longestGRPCTimeout ?? 0
        return longest > 0 && UInt64(asked) > longest
            ? DeadlineLimit(time: longest, cause: .longestGRPCTimeout)
            : DeadlineLimit(time: UInt64(asked), cause: .client)
    }

    /// The request has come to a route without a limit.
    private func forgoDeadline() {
        guard self.deadline > 0 else { return }
        self.deadline = 0
        self.hostReference?._withUnsafeGuaranteedRef { $0.loop.clear(timerPointer) }
    }

    /// A request hook waits.
    func holdRequestToDeadline() {
        guard self.route >= 0, let generation = self.generation else {
            applyDeadline(nil)
            return
        }
        applyDeadline(generation.route(self.route))
    }

    /// A response hook waits. Where the request never went anywhere nobody has asked for the deadline yet.
    func holdResponseToDeadline() {
        guard !self.timer.isSet, let host = self.host else { return }
        if self.deadline == 0 {
            let route = self.route >= 0 ? self.generation?.route(self.route) : nil
            guard let limit = deadlineLimit(route) else { return }
            self.deadlineCause = limit.cause
            self.deadline = self.started &+ min(limit.time, UInt64.max / 4)
        }
        self.timer.target = opaque
        self.timer.action = { Exchange(address: $0).deadlineReached() }
        // One that is over strikes behind this turn: hooks that go on until then have not waited.
        host.loop.set(timerPointer, at: max(self.deadline, host.loop.now &+ 1_000_000))
    }

    private func deadlineReached() {
        // The response is whole and only waits for the client to take it.
        guard downstream.isOpen, !self.responseHeadSent || !self.responseEnded else { return }
        if upstreamLetTimePass { noteNoResponse() }
        fail(.deadlineExceeded(self.deadlineCause, self.deadline &- self.started, route: routeName))
        // Response hooks have a say in this answer, too, but no time to wait.
        guard downstream.isOpen, !self.responseHeadSent || !self.responseEnded else { return }
        holdResponseToDeadline()
    }

    /// What clients allow themselves, and what hooks take, is no fault of the upstream.
    private var upstreamLetTimePass: Bool {
        self.deadlineCause == .route && self.phase != .requestPaused && self.phase != .responsePaused
            && !self.responseEnded
    }

    /// The upstream gets what remains of the deadline (T3).
    func writeTimeout() {
        guard self.deadline > 0, self.isGRPC, let host = self.host else { return }
        let now = host.loop.now
        let left = self.deadline > now ? self.deadline - now : 1
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: GRPCTimeout.maximumLength) { buffer in
            guard let base = buffer.baseAddress else { return }
            let count = GRPCTimeout.write(remaining: Int64(clamping: left), to: base)
            self.request.set(name: Bytes("grpc-timeout"), value: Bytes(base, count))
        }
    }

    // MARK: Silence

    /// Begins to watch for silence. The bytes that are counted anyway are looked at eight times in `idle_timeout`, so
    /// that a busy stream pays nothing; a silent one ends up to an eighth late.
    func watchSilence(_ limit: UInt64) {
        guard limit > 0, let host = self.host else { return }
        self.attempt.silentSince = host.loop.now
        self.attempt.bytesSeen = self.bytesIn &+ self.bytesOut
        lookAgain(limit, host)
    }

    private func lookAgain(_ limit: UInt64, _ host: ExchangeHost) {
        self.idleTimer.target = opaque
        self.idleTimer.action = { Exchange(address: $0).lookForSilence() }
        host.loop.set(idleTimerPointer, at: host.loop.now &+ max(1_000_000, limit / 8))
    }

    private func lookForSilence() {
        guard downstream.isOpen, self.route >= 0, let host = self.host, let generation = self.generation else {
            return
        }
        let limit = generation.route(self.route).pointee.idleTimeout
        // Policies may have changed the route since.
        guard limit > 0 else { return }
        let bytes = self.bytesIn &+ self.bytesOut
        if bytes != self.attempt.bytesSeen {
            self.attempt.bytesSeen = bytes
            self.attempt.silentSince = host.loop.now
        }
        guard host.loop.now &- self.attempt.silentSince < limit else { return fail(.idle(limit, route: routeName)) }
        lookAgain(limit, host)
    }

    /// Between two messages a gRPC stream may be silent for as long as it likes (T2), unless a hook waits for more.
    var mayBeQuiet: Bool { self.isGRPC && self.requestMessages.isAtBoundary && self.phase != .requestPaused }

    // MARK: The end

    /// The exchange is over.
    func clearTimers() {
        self.hostReference?._withUnsafeGuaranteedRef { $0.loop.clear(timerPointer) }
        clearAttemptTimers()
    }

    /// Nothing is waited for any more but, perhaps, response hooks: the deadline stays for them.
    func clearAttemptTimers() {
        self.hostReference?._withUnsafeGuaranteedRef { host in
            host.loop.clear(attemptTimerPointer)
            host.loop.clear(idleTimerPointer)
        }
    }

    /// For messages.
    var routeName: String {
        guard self.route >= 0, let generation = self.generation else { return "" }
        return generation.route(self.route).pointee.name.string
    }

    /// For messages.
    var upstreamName: String {
        guard self.upstreamIndex >= 0, let generation = self.generation else { return "" }
        return generation.upstream(self.upstreamIndex).name
    }
}

/// How long an exchange may take from the request's head on.
private struct DeadlineLimit {
    let time: UInt64
    let cause: DeadlineCause
}

/// Whose word a deadline is.
enum DeadlineCause: UInt8 {
    case client, route, policy, absentGRPCTimeout, longestGRPCTimeout
}
