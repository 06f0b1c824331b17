/// What is no gRPC response, for a caller who expects one: a proxy's error page, a JSON answer. It becomes a status that
/// can be read, with the beginning of its text (S6). Response hooks see the page, not the status.
extension Pooled where Record == ExchangeRecord {
    /// So much of the text goes into the message.
    private static var textLimit: Int { 256 }
    /// So long the text is waited for, in nanoseconds.
    private static var textPatience: UInt64 { 1_000_000_000 }

    /// The head of a response that is not gRPC's is about to leave for a gRPC caller.
    /// - Returns: whether it stays, because a status takes its place.
    func turnsIntoStatus() -> Bool {
        // The status in the head wins, and a 200 that says nothing of its type may still have trailers.
        if let type = self.response.value(.contentType), GRPCContentType.isGRPC(type) {
            self.responseIsGRPC = true
            return false
        }
        let isBare = self.httpStatus == 200 && self.response.first(.contentType) == nil
        guard self.response.first(.grpcStatus) == nil, !isBare else { return false }
        self.convertsErrorPage = true
        if self.responseEnded || self.responseBody.count >= Exchange.textLimit {
            answerWithPage()
        } else {
            waitForText()
        }
        return true
    }

    private func waitForText() {
        guard let host = self.host else { return }
        self.attemptTimer.target = opaque
        self.attemptTimer.action = { Exchange(address: $0).answerWithPage() }
        host.loop.set(attemptTimerPointer, at: host.loop.now &+ Exchange.textPatience)
    }

    /// More of the page is in the queue, or its end.
    func errorPageProgressed() {
        if self.responseEnded || self.responseBody.count >= Exchange.textLimit { answerWithPage() }
    }

    private func answerWithPage() {
        guard self.convertsErrorPage, downstream.isOpen, let host = self.host else { return }
        self.convertsErrorPage = false
        let isText = self.response.index(of: Bytes("content-encoding")) == nil
        let text = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Exchange.textLimit) { buffer -> String in
            guard isText, let base = buffer.baseAddress else { return "" }
            let count = self.responseBody.read(into: base, limit: Exchange.textLimit, host.loop.blocks)
            return Fault.readable(UnsafeBufferPointer(start: base, count: count))
        }
        fail(.noGRPC(httpStatus: self.httpStatus, text: text))
    }
}
