/// How an exchange ends: by itself, by a fault, or by one of its sides.
extension Pooled where Record == ExchangeRecord {
    // MARK: One side is gone

    func upstreamClosed(_ end: StreamEnd, _ reason: CloseReason?) {
        if downstream.isOpen {
            if self.phase == .retrying {
                nextAttempt()
            } else if self.responseEnded || self.upstreamEnded {
                // X4: the response is complete and the upstream wants no more of the request.
                if !self.clientEnded { stopRequest() }
            } else if self.phase == .forwarded && canTryAgain(end, reason) {
                self.attempt.wasRefused = true
                self.requestBody.rewind()
                self.response.reset()
                assign()
            } else if self.phase == .forwarded || self.phase == .responding || self.phase == .responsePaused {
                let fault = Fault.upstreamReset(end, reason, upstream: upstreamName)
                if self.phase == .forwarded && self.attempt.mayFollow && retriesByReset(end, fault) { return }
                // In the middle of a message, CANCEL would look as if the client had given up.
                fail(fault, end: reason == nil ? end : .internalError)
            }
        }
        endIfDone()
    }

    /// Streams that the upstream did not process are sent again, once (C1, C2; gRFC A6 "transparent retries").
    private func canTryAgain(_ end: StreamEnd, _ reason: CloseReason?) -> Bool {
        end.isRefused && reason == nil && !self.responseHeadKnown && self.requestBody.retains
            && !self.attempt.wasRefused
    }

    /// Nobody wants the rest of the request: the stream ends with the response.
    private func stopRequest() {
        self.resetsAfterResponse = true
        if self.responseSent { downstream.reset(.complete) }
    }

    /// The client has its whole response, and has neither sent nor ended its request since.
    /// - Returns: false where it has no whole response.
    func endedByResponse() -> Bool {
        guard self.responseSent else { return false }
        stopRequest()
        return true
    }

    /// Ends the exchange for good, also where the response is complete and the request goes on.
    func end(_ fault: Fault) {
        guard self.responseHeadSent && self.responseEnded else { return fail(fault) }
        if !self.clientEnded { stopRequest() }
    }

    func downstreamClosed(_ end: StreamEnd, _ reason: CloseReason?) {
        if !self.responseSent && self.termination.isEmpty {
            self.termination = reason == nil ? Bytes("client_reset") : Bytes("client_disconnected")
            if self.isGRPC { self.grpcStatus = Int32(GRPCStatus.cancelled.rawValue) }
        }
        self.policyRun?.stopHooks()
        abandonUpstream()
        if self.phase != .responding { self.phase = .responding }
        logOnce()
        endIfDone()
    }

    /// X2: at once, whatever is still queued.
    func abandonUpstream() {
        abandonAttempt()
        if self.hedges != nil { self.hedges?.cancelAll() }
    }

    /// The same for the attempt that counts alone.
    func abandonAttempt() {
        if self.phase == .connecting { stopWaiting() }
        // A stream that both sides have ended closes by itself.
        let isOver = self.upstreamEnded && self.requestEnded && self.requestBody.isEmpty
        if upstream.isOpen && !isOver { upstream.reset(.cancelled) }
    }

    private func stopWaiting() {
        self.endpoint?.forget(owner)
        guard self.upstreamIndex >= 0, let generation = self.generation else { return }
        generation.upstream(self.upstreamIndex).forget(owner)
    }

    /// Gives the record back once nothing refers to it any more.
    func endIfDone() {
        guard !downstream.isOpen, !firstUpstream.isOpen, !upstream.isOpen, self.logState == .done,
            let host = self.host
        else { return }
        host.recycle(self)
    }

    // MARK: Faults

    /// Ends the exchange with a fault: as an answer if none has begun, else as well as what was sent allows.
    func fail(_ fault: Fault, end: StreamEnd = .cancelled) {
        guard downstream.isOpen, !self.responseHeadSent || !self.responseEnded else { return }
        self.termination = fault.name
        self.policyRun?.stopHooks()
        guard self.responseHeadSent else { return answer(fault) }
        endResponse(fault.status, end: end) { trailers in
            fault.message.withBytes { LocalReply.appendTrailers(to: trailers, status: fault.status, message: $0) }
        }
    }

    /// Ends a response that has begun, as well as what was sent allows: by trailers, else by a reset.
    func endResponse(_ status: GRPCStatus, end: StreamEnd = .cancelled, _ addTrailers: (HeaderList) -> Void) {
        self.responseEnded = true
        let outcome = FaultOutcome(
            headSent: true, isGRPC: self.responseIsGRPC, atMessageBoundary: self.responseMessages.isAtBoundary,
            end: end)
        if case .reset(let end) = outcome {
            if self.isGRPC { self.grpcStatus = Int32(status.rawValue) }
            abandonUpstream()
            return downstream.reset(end)
        }
        self.responseTrailers.reset()
        addTrailers(self.responseTrailers)
        self.resetsAfterResponse = !self.clientEnded
        abandonUpstream()
        sendResponseEnd()
    }

    /// A whole answer in the upstream's place.
    private func answer(_ fault: Fault) {
        abandonUpstream()
        guard let host = self.host else { return }
        clearAttemptTimers()
        self.responseTrailers.reset()
        self.responseBody.clear(host.loop.blocks)
        fault.message.withBytes { message in
            let isGRPC = LocalReply.fill(
                self.response, status: fault.status, httpStatus: fault.httpStatus, message: message,
                requestType: self.request.value(.contentType))
            if !isGRPC && !isHead { self.responseBody.append(message, host.loop.blocks) }
            self.httpStatus = isGRPC ? 200 : fault.httpStatus
        }
        answerIsComplete()
    }

    /// The response lists and body hold a whole answer made here: sends it.
    func answerIsComplete() {
        takeAnswer()
        finishResponseHead()
    }

    /// Nothing of the response is left to come.
    func takeAnswer() {
        self.attempt.holdsHead = false
        self.convertsErrorPage = false
        self.responseHeadKnown = true
        self.responseEnded = true
        self.responseIsGRPC = self.isGRPC
        // RFC 9113 §8.1: a complete answer to an incomplete request is followed by NO_ERROR.
        self.resetsAfterResponse = !self.clientEnded
    }

    var isHead: Bool { self.request.value(.method)?.equals("HEAD") ?? false }

    /// The client does not take what it has asked for, and others need the memory. What waits would go before any status.
    func giveUpStalledResponse() {
        self.termination = Bytes("response_stalled")
        if self.isGRPC { self.grpcStatus = Int32(GRPCStatus.resourceExhausted.rawValue) }
        self.policyRun?.stopHooks()
        abandonUpstream()
        if let host = self.host { self.responseBody.clear(host.loop.blocks) }
        downstream.reset(.overloaded)
    }

    // MARK: Account

    private func logOnce() {
        guard self.logState == .none else { return }
        self.logState = .done
        guard let host = self.host,
            let generation = self.generation
        else { return }
        self.endedAt = host.loop.now
        if generation.policies?.hasLogHooks == true, let run = self.policyRun {
            run.log()
            if run.awaitsLog { self.logState = .hooksWait }
        }
        let duration = (host.loop.now &- self.started) / 1000
        let cells = generation.metrics.route(self.route)
        if self.isGRPC {
            cells.countGRPC(status: Int(self.grpcStatus))
        } else {
            cells.countHTTP(status: self.httpStatus)
        }
        cells.countBytes(received: self.bytesIn, sent: self.bytesOut)
        cells.duration.record(microseconds: duration)
        guard host.logsAccess else { return }
        RequestNumber.withText(self.number) { id in
            var record = record(duration, generation)
            record.requestID = requestID(id, generation)
            generation.policyName(self.repliedPolicy).withBytes { name in
                record.policy = name
                host.log(record)
            }
        }
    }

    /// Log hooks that had to wait for a later turn have run.
    func logHooksEnded() {
        guard self.logState == .hooksWait else { return }
        self.logState = .done
        endIfDone()
    }

    /// What log hooks and others of its policies ask for.
    var account: PolicyAccount {
        var account = PolicyAccount(startedAt: self.startedAt)
        let now = self.endedAt > 0 ? self.endedAt : self.host?.loop.now ?? self.started
        account.duration = now &- self.started
        if self.sentAt > 0 { account.sent = self.sentAt &- self.started }
        if self.answeredAt > 0 { account.answered = self.answeredAt &- self.started }
        if self.upstreamIndex >= 0, let generation = self.generation {
            account.upstream = generation.upstream(self.upstreamIndex).nameBytes.string
            account.endpoint = self.endpoint?.nameBytes.string
            account.attempts = Int64(self.lookups)
        }
        if self.responseHeadKnown { account.httpStatus = self.response.value(.status).map(HTTPStatus.parse) }
        if self.isGRPC && self.grpcStatus >= 0 {
            let status = self.grpcStatus == Int32.max ? GRPCStatus.unknown.rawValue : UInt8(clamping: self.grpcStatus)
            account.grpcStatus = status
        }
        return account
    }

    private func record(_ duration: UInt64, _ generation: WorkerGeneration) -> AccessRecord {
        var record = AccessRecord()
        record.startedAt = self.startedAt
        if let facts = self.facts, let client = clientAddress {
            record.listener = facts.listenerBytes
            record.remote = client.text
            if client.isForwarded || facts.isIntroduced { record.peer = facts.directPeer.text }
            record.certificate = facts.clientCertificate
        }
        record.method = self.request.value(.method) ?? .empty
        record.authority = loggedAuthority
        record.path = loggedPath
        record.sentPath = self.path.sent
        if self.route >= 0 { record.route = generation.route(self.route).pointee.name }
        if self.upstreamIndex >= 0 { record.upstream = generation.upstream(self.upstreamIndex).nameBytes }
        if let endpoint = self.endpoint { record.endpoint = endpoint.nameBytes }
        record.termination = self.termination
        record.grpcStatus = self.isGRPC ? self.grpcStatus : -1
        record.httpStatus = UInt32(clamping: self.httpStatus)
        record.duration = duration
        record.bytesIn = self.bytesIn
        record.bytesOut = self.bytesOut
        record.messagesIn = self.requestMessages.messages
        record.messagesOut = self.responseMessages.messages
        record.generation = generation.number
        record.attempts = self.lookups
        return record
    }
}
