/// Deadlines and silence.
extension Pooled where Record == ExchangeRecord {
    // MARK: The deadline

    /// The smallest of what the client, the route and a policy say counts (T2).
    /// - Parameter limit: the policies' word in place of the route's `timeout`.
    func setDeadline(_ route: UnsafePointer<CompiledRoute>, _ limit: UInt64?) {
        var time = limit ?? route.pointee.timeout
        var cause = limit == nil ? DeadlineCause.route : .policy
        if self.isGRPC {
            let asked = self.request.value(.grpcTimeout).flatMap(GRPCTimeout.parse)
            if asked == 0 { return fail(.deadlineExceeded(.client, 0, route: routeName)) }
            let (own, source) = grpcDeadline(asked, route)
            if own > 0, time == 0 || own < time { (time, cause) = (own, source) }
        }
        guard time > 0, let host = self.host else { return }
        self.deadlineCause = cause
        self.deadline = self.started &+ min(time, UInt64.max / 4)
        self.timer.target = opaque
        self.timer.action = { Exchange(owner: $0).deadlineReached() }
        host.loop.set(timerPointer, at: self.deadline)
    }

    private func grpcDeadline(_ asked: Int64?, _ route: UnsafePointer<CompiledRoute>) -> (UInt64, DeadlineCause) {
        guard let asked else { return (route.pointee.absentGRPCTimeout, .absentGRPCTimeout) }
        let longest = route.pointee.longestGRPCTimeout
        return longest > 0 && UInt64(asked) > longest
            ? (longest, .longestGRPCTimeout) : (UInt64(asked), .client)
    }

    func deadlineReached() {
        // What clients allow themselves is no fault of the upstream.
        if self.deadlineCause == .route { noteNoResponse() }
        fail(.deadlineExceeded(self.deadlineCause, self.deadline &- self.started, route: routeName))
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
        self.attempt.idleTimer.target = opaque
        self.attempt.idleTimer.action = { Exchange(owner: $0).lookForSilence() }
        host.loop.set(idleTimerPointer, at: host.loop.now &+ max(1_000_000, limit / 8))
    }

    private func lookForSilence() {
        guard self.downstream.isOpen, self.route >= 0, let host = self.host, let generation = self.generation else {
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

    /// Nothing is waited for any more.
    func clearTimers() {
        self.hostReference?._withUnsafeGuaranteedRef { host in
            host.loop.clear(timerPointer)
            host.loop.clear(attemptTimerPointer)
            host.loop.clear(idleTimerPointer)
        }
    }

    /// For messages.
    var routeName: String {
        guard self.route >= 0, let generation = self.generation else { return "" }
        return generation.route(self.route).pointee.name.string
    }
}

/// Whose word a deadline is.
enum DeadlineCause: UInt8 {
    case client, route, policy, absentGRPCTimeout, longestGRPCTimeout
}
