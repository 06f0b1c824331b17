/// The response on its way back.
extension Pooled where Record == ExchangeRecord {
    /// Where the upstream's next header section goes; `nil` when nobody wants it any more.
    func responseSectionTarget() -> HeaderList? {
        guard self.phase == .forwarded || (self.responseHeadKnown && !self.responseEnded) else { return nil }
        return self.responseHeadKnown ? self.responseTrailers : self.response
    }

    func responseSectionReceived(endsStream: Bool, tooLarge: Bool) {
        guard responseSectionTarget() != nil else { return }
        if tooLarge { return fail(.upstreamHeadersTooLarge) }
        if self.responseHeadKnown {
            if self.attempt.holdsHead && retriesByTrailers() { return }
            return responseEndReceived()
        }
        let status = self.response.value(.status).map(HTTPStatus.parse) ?? 0
        if status < 200 {
            // R13: a 1xx head is passed on, and the final one is still to come.
            editInterim()
            downstream.submitInterim(self.response)
            return self.response.reset()
        }
        self.httpStatus = status
        self.responseHeadKnown = true
        self.responseEnded = endsStream
        self.upstreamEnded = endsStream
        self.responseIsGRPC = self.response.value(.contentType).map(GRPCContentType.isGRPC) ?? false
        if self.attempt.mayFollow && keepsHead() { return }
        acceptResponse()
    }

    /// The response is the upstream's word: nothing is sent twice from here on (F6).
    func acceptResponse() {
        self.hostReference?._withUnsafeGuaranteedRef { self.answeredAt = $0.loop.now }
        _ = withBlocks { self.requestBody.commit($0) }
        releaseKept()
        if self.hedges != nil { self.hedges?.cancelAll() }
        if self.attempt.charged > 0 { releaseRetries() }
        if self.hashCookie != 0 { setHashCookie() }
        finishResponseHead()
    }

    /// Lets the head that was kept back go on; false: another answer has taken its place.
    private func goesOnWithHead() -> Bool {
        releaseHead()
        return !self.responseEnded
    }

    func responseDataReceived(_ bytes: Bytes) {
        guard self.responseHeadKnown, !self.responseEnded, let host = self.host else {
            return
        }
        if self.attempt.holdsHead && !goesOnWithHead() { return }
        if let run = self.policyRun, let body = run.responseBody {
            body.receive(bytes)
            return run.bodyReceived()
        }
        if self.responseIsGRPC { self.responseMessages.consume(bytes) }
        let passed = passResponse(bytes)
        guard passed < bytes.count else { return }
        self.responseBody.append(bytes[passed..<bytes.count], host.loop.blocks)
        if self.convertsErrorPage { return errorPageProgressed() }
        downstream.resume()
    }

    /// Hands on what the client can take without a stop in the queue.
    private func passResponse(_ bytes: Bytes) -> Int {
        guard self.responseHeadSent, self.responseBody.isEmpty else { return 0 }
        let count = downstream.pass(bytes)
        self.bytesOut &+= UInt64(count)
        upstream.consume(count)
        return count
    }

    /// END_STREAM, with or without trailers.
    func responseEndReceived() {
        self.upstreamEnded = true
        guard self.responseHeadKnown, !self.responseEnded else { return }
        if self.attempt.holdsHead && !goesOnWithHead() { return }
        if let run = self.policyRun, let body = run.responseBody {
            body.receiveEnd()
            return run.drive()
        }
        finishResponseBody()
    }

    /// Nothing more comes of the body, and the trailers are there as far as there are any.
    func finishResponseBody() {
        self.responseEnded = true
        if self.responseIsGRPC && self.responseTrailers.isEmpty && self.response.first(.grpcStatus) == nil {
            // S3: without trailers a gRPC client reports something misleading.
            LocalReply.appendTrailers(
                to: self.responseTrailers, status: .internal,
                message: Bytes("the upstream ended the response without trailers"))
        }
        sendResponseEnd()
    }

    /// The end of the body is known and its head was sent: sends what is left, and the trailers behind it.
    func sendResponseEnd() {
        if self.convertsErrorPage { return errorPageProgressed() }
        guard self.responseHeadSent, !self.responseTrailersSubmitted else { return }
        guard self.responseBody.isEmpty, !self.responseTrailers.isEmpty else { return downstream.resume() }
        // Trailers need no window.
        submitResponseTrailers()
    }

    private func submitResponseTrailers() {
        self.responseTrailersSubmitted = true
        editTrailers()
        if case .tooLarge(let size) = downstream.submitTrailers(self.responseTrailers) {
            submitFewerTrailers(size)
        }
    }

    /// Hands the head to the client's connection.
    func sendResponseHead() {
        if self.isGRPC && !self.responseIsGRPC && turnsIntoStatus() { return }
        self.responseHeadSent = true
        self.phase = .responding
        if let run = self.policyRun {
            if run.subject.drainsConnection { downstream.drainConnection() }
            dropExcludedContent(run)
            correctResponseLength(run)
        }
        let isComplete = self.responseEnded && self.responseBody.isEmpty && self.responseTrailers.isEmpty
        editResponse(isWhole: isComplete)
        if case .tooLarge(let size) = downstream.submitResponse(self.response, hasBody: !isComplete) {
            responseHeadIsTooLarge(size, isWhole: isComplete)
        }
    }

    /// Bytes for the client, as its connection has room for them.
    func readResponse(into target: UnsafeMutablePointer<UInt8>, limit: Int) -> BodyRead {
        let read = withBlocks { self.responseBody.read(into: target, limit: limit, $0) }
        guard let count = read else { return .failed }
        self.bytesOut &+= UInt64(count)
        if let run = self.policyRun, run.responseBody != nil {
            if count > 0 { run.queueWasRead() }
        } else {
            upstream.consume(count)
        }
        guard self.responseEnded && self.responseBody.isEmpty else { return count > 0 ? .bytes(count) : .later }
        guard !self.responseTrailers.isEmpty else { return .last(count) }
        if !self.responseTrailersSubmitted { submitResponseTrailers() }
        return .lastBeforeTrailers(count)
    }

    /// The frame that ends the response is out: the status that the client sees is known.
    func responseWasSent() {
        self.responseSent = true
        // Not before: a stream that is to be reset sends nothing else. A gRPC call is over with its status, and its client may never
        // end its side; the upstream gets CANCEL for what it has not got of the request.
        if self.resetsAfterResponse || (self.responseIsGRPC && !self.clientEnded) { downstream.reset(.complete) }
        if let status = self.responseTrailers.value(.grpcStatus) ?? self.response.value(.grpcStatus) {
            self.grpcStatus = GRPCStatus(parsing: status).map { Int32($0.rawValue) } ?? Int32.max
        }
    }
}
