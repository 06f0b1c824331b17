/// From the route to the upstream.
extension Pooled where Record == ExchangeRecord {
    /// Sends the request to the upstream that a policy named, or to one of the route's.
    func forward() {
        guard let host = self.host, let generation = self.generation else { return }
        let route = generation.route(self.route)
        if let run = self.policyRun, run.subject.upstream >= 0 {
            self.upstreamIndex = run.subject.upstream
        } else if let upstream = route.pointee.pickUpstream(self.policyRun?.subject.wish?.hash ?? host.random()) {
            self.upstreamIndex = upstream
        } else {
            return fail(.noRoute)
        }
        setDeadline(self.policyRun?.subject.timeout ?? route.pointee.timeout)
        guard self.phase != .responding else { return }
        self.requestBody.retain()
        assign()
    }

    /// Finds an endpoint; the first attempt or a further one.
    func assign() {
        guard let host = self.hostReference, let generation = self.generationReference else { return }
        self.attempts &+= 1
        self.phase = .connecting
        let seeker = host._withUnsafeGuaranteedRef { $0.seeker(self) }
        let tried = self.endpoint
        let wish = self.policyRun?.subject.wish
        let assignment = generation._withUnsafeGuaranteedRef { generation in
            generation.lendUpstream(self.upstreamIndex) { $0.assign(seeker, excluding: tried, wish: wish) }
        }
        switch assignment {
        case .connection(let connection): send(on: connection)
        case .waiting(let endpoint): tries(endpoint)
        case .resolving: break
        case .unavailable(let reason): fail(.unavailable(reason))
        }
    }

    /// Remembers where the request goes.
    func tries(_ endpoint: Endpoint) {
        self.endpointReference?.release()
        self.endpointReference = Unmanaged.passRetained(endpoint)
    }

    func send(on connection: UpstreamConnection) {
        tries(connection.endpoint)
        writeTimeout()
        let isComplete = self.requestEnded && self.requestBody.isEmpty && self.requestTrailers.isEmpty
        guard connection.open(upstreamPointer, requestPointer, hasBody: !isComplete) else { return assign() }
        self.phase = .forwarded
        if let host = self.host { self.sentAt = host.loop.now }
    }

    /// The connection that the exchange waited for did not come about. Nothing was sent, so another endpoint may be
    /// tried (C3).
    func connectFailed(_ reason: String) {
        guard self.attempts < Exchange.attemptLimit else { return fail(.unavailable(reason)) }
        assign()
    }

    /// How often one request looks for an endpoint.
    static var attemptLimit: UInt8 { 3 }

    // MARK: Deadline

    /// The smaller of the client's `grpc-timeout` and the route's timeout counts (T2).
    private func setDeadline(_ limit: UInt64) {
        var time = limit
        if self.isGRPC, let text = self.request.value(.grpcTimeout), let asked = GRPCTimeout.parse(text) {
            if asked == 0 { return fail(.deadlineExceeded) }
            time = limit == 0 ? UInt64(asked) : min(UInt64(asked), limit)
        }
        guard time > 0, let host = self.host else { return }
        self.deadline = self.started &+ min(time, UInt64.max / 4)
        self.timer.target = opaque
        self.timer.action = { Exchange(owner: $0).deadlineReached() }
        host.loop.set(timerPointer, at: self.deadline)
    }

    func deadlineReached() { fail(.deadlineExceeded) }

    /// The upstream gets what remains of the deadline (T3).
    private func writeTimeout() {
        guard self.deadline > 0, self.isGRPC, let host = self.host else { return }
        let now = host.loop.now
        let left = self.deadline > now ? self.deadline - now : 1
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: GRPCTimeout.maximumLength) { buffer in
            guard let base = buffer.baseAddress else { return }
            let count = GRPCTimeout.write(remaining: Int64(clamping: left), to: base)
            self.request.set(name: Bytes("grpc-timeout"), value: Bytes(base, count))
        }
    }
}
