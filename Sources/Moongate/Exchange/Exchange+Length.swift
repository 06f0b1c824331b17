/// The lengths that messages declare, behind policies: one that a script has written and the body does not have could be taken
/// for the end of the message. HTTP/2 does without (RFC 9113 §8.1.1).
extension Pooled where Record == ExchangeRecord {
    func correctRequestLength() {
        guard self.request.mayHold(.contentLength) else { return }
        let left = downstream.state.expected
        let declared = left < 0 ? nil : left + Int64(self.bytesIn)
        correctLength(self.request, self.requestEnded ? Int64(self.requestBody.total) : declared)
    }

    /// - Parameter run: the policies that the response went through. Nothing of its body has been sent.
    func correctResponseLength(_ run: PolicyRun) {
        guard self.response.mayHold(.contentLength), !answersWithoutBody else { return }
        correctLength(self.response, responseLength(run))
    }

    /// A policy has made it a response that has no content (RFC 9110 §15.3.5, §15.3.6, §15.4.5): what there is of a body goes
    /// nowhere.
    func dropExcludedContent(_ run: PolicyRun) {
        guard let status = self.response.value(.status), HTTPStatus.excludesContent(HTTPStatus.parse(status)),
            run.responseBody == nil, let host = self.host
        else { return }
        self.responseBody.clear(host.loop.blocks)
        self.responseTrailers.reset()
        guard !self.responseEnded else { return }
        self.responseEnded = true
        abandonUpstream()
    }

    private func responseLength(_ run: PolicyRun) -> Int64? {
        let waiting = Int64(self.responseBody.total)
        if self.responseEnded { return waiting }
        // Hooks that take part in the body may change it.
        guard run.responseBody == nil, upstream.isOpen else { return nil }
        let left = upstream.state.expected
        return left < 0 ? nil : left + waiting
    }

    /// What the head declares is no matter of the body then (RFC 9110 §8.6).
    private var answersWithoutBody: Bool { isHead || self.response.value(.status)?.equals("304") ?? false }

    /// - Parameter length: the body's, where it is known.
    private func correctLength(_ head: HeaderList, _ length: Int64?) {
        guard let value = head.value(.contentLength), length == nil || ContentLength.parse(value) != length
        else { return }
        head.remove(name: Bytes("content-length"))
    }
}
