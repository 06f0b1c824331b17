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

    var heldRequest: HeldBody {
        HeldBody(
            queued: self.requestBody.count, repeatable: self.requestBody.retained,
            collected: self.policyRun?.requestBody?.heldBytes ?? 0)
    }

    var heldResponse: HeldBody {
        HeldBody(queued: self.responseBody.count, collected: self.policyRun?.responseBody?.heldBytes ?? 0)
    }

    /// Keeps nothing that was sent.
    func forgoAttempts() {
        // What is to be sent again in a moment is all that there is.
        guard self.requestBody.retained > 0, self.phase != .retrying else { return }
        forgetSent()
    }

    /// Memory is short: gives up what the request can do without.
    func forgoCopies() {
        forgoAttempts()
        // Where the first attempt has failed, those beside it are the request.
        if self.phase != .hedging { self.hedges?.cancelAll() }
    }

    /// Ends the exchange and frees what it holds: its answer is told where it has not begun, and else cut off.
    func shed() {
        guard downstream.isOpen else { return }
        if !self.responseHeadSent { return fail(.shed) }
        self.termination = Fault.shed.name
        self.policyRun?.stopHooks()
        if self.isGRPC { self.grpcStatus = Int32(GRPCStatus.unavailable.rawValue) }
        self.responseEnded = true
        abandonUpstream()
        downstream.reset(.overloaded)
    }
}
