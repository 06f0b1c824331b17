/// From the route to the upstream.
extension Pooled where Record == ExchangeRecord {
    /// Sends the request to the upstream that a policy named, or to one of the route's.
    func forward() {
        guard let host = self.hostReference, let generation = self.generationReference else { return }
        host._withUnsafeGuaranteedRef { host in generation._withUnsafeGuaranteedRef { forward(host, $0) } }
    }

    private func forward(_ host: ExchangeHost, _ generation: WorkerGeneration) {
        let route = generation.route(self.route)
        if let run = self.policyRun, run.subject.upstream >= 0 {
            self.upstreamIndex = run.subject.upstream
        } else if let upstream = route.pointee.pickUpstream(self.policyRun?.subject.wish?.hash ?? host.random()) {
            self.upstreamIndex = upstream
        } else {
            return fail(.noRoute)
        }
        guard applyDeadline(route) else { return }
        self.attempt.mayFollow = route.pointee.mayFollow(self.request.value(.path) ?? .empty)
        if self.policyRun != nil { correctRequestLength() }
        guard editRequest() else { return }
        watchSilence(route.pointee.idleTimeout)
        self.wantsMirrors = route.pointee.mirrors != nil
        self.requestBody.retain()
        assign()
    }

    /// Finds an endpoint; the first attempt or a further one.
    func assign() {
        guard let host = self.hostReference, let generation = self.generationReference else { return }
        self.lookups &+= 1
        self.attempt.lookups &+= 1
        self.phase = .connecting
        if self.attempt.mayFollow { setAttemptLimit() }
        let pendingStream = host._withUnsafeGuaranteedRef { $0.pendingStream(self) }
        let tried = self.endpoint
        let assignment = generation._withUnsafeGuaranteedRef { generation in
            generation.withUpstream(self.upstreamIndex) { upstream in
                upstream.assign(pendingStream, excluding: tried, wish: endpointWish(upstream))
            }
        }
        switch assignment {
        case .connection(let connection): send(on: connection)
        case .waiting(let endpoint): tries(endpoint)
        case .resolving: break
        case .unavailable(let reason): unavailable(reason)
        case .overflow(let reason): fail(.overflow(reason))
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
        nameEndpoint(connection.endpoint, in: self.request)
        let isComplete = self.requestEnded && self.requestBody.isEmpty && self.requestTrailers.isEmpty
        switch connection.open(upstream, self.request, hasBody: !isComplete) {
        case .opened: break
        case .noRoom: return assign()
        case .awaitsSettings: return awaitSettings(of: connection)
        case .headTooLarge(let size): return headIsTooLarge(size)
        }
        if self.wantsMirrors { beginMirrors(isComplete: isComplete) }
        self.phase = .forwarded
        if let host = self.host { self.sentAt = host.loop.now }
    }

    /// Nothing was sent, so an endpoint that takes more may be tried: one with a small limit fails at once, looks idle for that, and
    /// would draw what the others could serve.
    private func headIsTooLarge(_ size: HeadSize) {
        guard self.attempt.lookups < Exchange.lookupLimit else {
            return fail(.upstreamHeadLimit(size, upstream: upstreamName))
        }
        assign()
    }

    /// The head is large: it waits until the server has said what it takes.
    private func awaitSettings(of connection: UpstreamConnection) {
        guard let host = self.host else { return }
        if let overflow = connection.awaitSettings(host.pendingStream(self)) { fail(.overflow(overflow)) }
    }

    /// The connection that the exchange waited for did not come about. Nothing was sent, so another endpoint may be
    /// tried (C3).
    func connectFailed(_ reason: String) {
        guard self.attempt.lookups < Exchange.lookupLimit else { return unavailable(reason) }
        assign()
    }

    /// How often one attempt looks for an endpoint.
    private static var lookupLimit: UInt8 { 3 }
}
