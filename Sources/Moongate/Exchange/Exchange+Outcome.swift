/// What the end of an attempt says about its endpoint, for outlier detection.
extension Pooled where Record == ExchangeRecord {
    /// The upstream's response has ended with what was received last.
    @inline(__always) func noteAnswer() {
        guard let endpoint = self.endpointReference else { return }
        endpoint._withUnsafeGuaranteedRef { endpoint in
            guard endpoint.watch != nil else { return }
            endpoint.observed(AttemptOutcome(head: self.response, trailers: self.responseTrailers))
        }
    }

    /// The upstream's stream is closed: by us, after its end, or too early.
    ///
    /// Streams that it did not process say nothing: it is about to go.
    @inline(__always) func noteUpstreamClosed(_ end: StreamEnd) {
        guard !self.upstreamEnded, !self.responseEnded, !end.isRefused else { return }
        switch self.phase {
        case .forwarded, .responding, .responsePaused: if downstream.isOpen { noteNoResponse() }
        default: break
        }
    }

    /// The upstream has let its time pass.
    func noteNoResponse() {
        guard let endpoint = self.endpointReference else { return }
        endpoint._withUnsafeGuaranteedRef { $0.observed(.noResponse) }
    }
}

extension HedgedAttempt {
    /// As the exchange's.
    func noteAnswer() {
        guard let endpoint, endpoint.watch != nil else { return }
        let (head, trailers) = (
            record.pointee.response,
            record.pointee.responseTrailers
        )
        endpoint.observed(AttemptOutcome(head: head, trailers: trailers))
    }

    func noteClosed(_ end: StreamEnd) {
        if !hasEnded && !end.isRefused { endpoint?.observed(.noResponse) }
    }
}
