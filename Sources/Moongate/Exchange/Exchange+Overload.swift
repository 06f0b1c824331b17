/// What overload does to exchanges.
extension Pooled where Record == ExchangeRecord {
    /// - Returns: whether the request was answered, because new ones are not served now.
    @inline(__always) func refusedForOverload() -> Bool {
        guard let host = self.hostReference, host._withUnsafeGuaranteedRef({ $0.overload.refusesStreams }) else {
            return false
        }
        host._withUnsafeGuaranteedRef { $0.overload.streamRefused() }
        fail(.overloaded)
        return true
    }

    /// Bytes of bodies that are kept for this exchange.
    var heldBytes: Int {
        var held = self.requestBody.total + self.responseBody.total
        if let run = self.policyRun { held += (run.requestBody?.heldBytes ?? 0) + (run.responseBody?.heldBytes ?? 0) }
        return held
    }

    var heldRequest: HeldRequest {
        HeldRequest(
            queued: self.requestBody.count, repeatable: self.requestBody.retained,
            collected: self.policyRun?.requestBody?.heldBytes ?? 0)
    }

    /// Keeps nothing that was sent.
    func forgoAttempts() {
        guard self.requestBody.retained > 0, let host = self.host else { return }
        self.requestBody.commit(host.loop.blocks)
    }

    /// Ends the exchange and frees what it holds: its answer is told where it has not begun, and else cut off.
    func shed() {
        guard self.downstream.isOpen else { return }
        if !self.responseHeadSent { return fail(.shed) }
        self.termination = Fault.shed.name
        self.policyRun?.stopHooks()
        if self.isGRPC { self.grpcStatus = Int32(GRPCStatus.unavailable.rawValue) }
        self.responseEnded = true
        abandonUpstream()
        downstreamPointer.reset(.enhanceYourCalm)
    }
}
