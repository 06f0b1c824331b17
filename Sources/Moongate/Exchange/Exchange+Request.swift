import Glibc

/// The request on its way in.
extension Pooled where Record == ExchangeRecord {
    func requestHeadReceived(endsStream: Bool, tooLarge: Bool) {
        self.clientEnded = endsStream
        self.requestEnded = endsStream
        self.isGRPC = self.request.value(.contentType).map(GRPCContentType.isGRPC) ?? false
        if tooLarge { return fail(.headersTooLarge) }
        if let fault = admitFields() { return fail(fault) }
        if let fault = normalizeHead() ?? provisionalPathFault() { return fail(fault) }
        if answeredHealthCheck() || refusedForOverload() { return }
        guard admitsAuthority() else { return }
        applyClientCertificate()
        writeEdgeHeaders()
        runListenerPolicies()
    }

    func requestDataReceived(_ bytes: Bytes) {
        self.bytesIn &+= UInt64(bytes.count)
        if self.isGRPC { self.requestMessages.consume(bytes) }
        guard let host = self.host else { return }
        if self.phase == .responding && !upstream.isOpen {
            // Nobody will read it: let the client send on, it may only look at the answer when it is done.
            return downstream.consume(bytes.count)
        }
        if let run = self.policyRun, let body = run.requestBody {
            body.receive(bytes)
            return run.bodyReceived()
        }
        let passed = passRequest(bytes)
        guard passed < bytes.count else { return }
        self.requestBody.append(bytes[passed..<bytes.count], host.loop.blocks)
        upstream.resume()
    }

    /// Hands on what the upstream can take without a stop in the queue, once nothing has to be kept for a second attempt.
    private func passRequest(_ bytes: Bytes) -> Int {
        guard self.requestBody.isEmpty, !self.requestBody.retains else { return 0 }
        let count = upstream.pass(bytes)
        if self.mirrors != nil { mirror(bytes[0..<count]) }
        downstream.consume(count)
        return count
    }

    /// END_STREAM, with or without trailers.
    func requestEndReceived() {
        self.clientEnded = true
        if let run = self.policyRun, let body = run.requestBody {
            body.receiveEnd()
            return run.drive()
        }
        self.requestEnded = true
        upstream.resume()
    }

    /// Bytes for the upstream, as its connection has room for them.
    func readRequest(into target: UnsafeMutablePointer<UInt8>, limit: Int) -> BodyRead {
        guard let host = self.host else { return .failed }
        let again = self.requestBody.reread
        let count = self.requestBody.read(into: target, limit: limit, host.loop.blocks)
        if count > 0 {
            if self.mirrors != nil { mirror(Bytes(target, count)) }
            if let run = self.policyRun, run.requestBody != nil {
                run.queueWasRead()
            } else {
                // The window was opened for bytes of an earlier attempt already.
                downstream.consume(count - (again - self.requestBody.reread))
            }
            if self.requestBody.retains { keepSent(host) }
        }
        guard self.requestEnded && self.requestBody.isEmpty else { return count > 0 ? .bytes(count) : .later }
        if self.mirrors != nil { finishMirrors() }
        guard !self.requestTrailers.isEmpty else { return .last(count) }
        switch upstream.submitTrailers(self.requestTrailers) {
        case .sent, .noStream: return .lastBeforeTrailers(count)
        case .awaitsSettings: return count > 0 ? .bytes(count) : .later
        case .tooLarge(let size):
            fail(.upstreamHeadLimit(size, upstream: upstreamName, isTrailers: true))
            return .failed
        }
    }

    /// Keeps what was sent for another attempt, as far as the route's buffer and the account of all copies have room. What
    /// exceeds them cannot be sent again (F6).
    private func keepSent(_ host: ExchangeHost) {
        let fresh = self.requestBody.retained - Exchange.alwaysKept - self.kept
        guard fresh > 0 else { return }
        guard self.requestBody.retained <= retryBuffer, host.loop.memory.tryCharge(fresh, .attempts) else {
            return forgetSent()
        }
        self.kept &+= fresh
    }

    /// Bytes of each request that are kept whatever others keep: a small call is sent again where its stream was refused, and no
    /// client can take that from another. As much as a stream's first window lets under way.
    private static var alwaysKept: Int { Int(ConnectionAccounts.firstWindow) }

    /// Nothing is sent again.
    func forgetSent() {
        self.hostReference?._withUnsafeGuaranteedRef { self.requestBody.commit($0.loop.blocks) }
        releaseKept()
    }

    /// What was kept is kept no more, or is the request itself by now.
    @inline(__always) func releaseKept() {
        guard self.kept > 0 else { return }
        self.hostReference?._withUnsafeGuaranteedRef { $0.loop.memory.giveBack(self.kept, .attempts) }
        self.kept = 0
    }

    /// Request bytes that are kept until the response begins, for another attempt.
    private var retryBuffer: Int {
        guard self.attempt.mayFollow, let generation = self.generation else { return RetryPlan.smallestBuffer }
        return generation.route(self.route).pointee.retry.buffer
    }
}
