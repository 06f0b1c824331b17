/// Responses whose head or trailers are larger than the client takes (RFC 9113 §6.5.2): it would end its connection, with all
/// its calls, for one of them.
extension Pooled where Record == ExchangeRecord {
    /// The head was not sent.
    func responseHeadIsTooLarge(_ size: HeadSize, isWhole: Bool) {
        // S1: a head that ends a gRPC response is made of its trailers.
        if isWhole && self.responseIsGRPC { return sendLeastHead(size, hasBody: false) }
        let fault = Fault.responseHeadTooLarge(size)
        // The route's own edits make the edge's answer too large as well.
        if self.termination.equals(fault.name) { return sendLeastHead(size, hasBody: !isWhole) }
        self.responseHeadSent = false
        fail(fault)
    }

    private func sendLeastHead(_ size: HeadSize, hasBody: Bool) {
        StatusTrimmer.trim(self.response, to: size.limit)
        _ = downstream.submitResponse(self.response, hasBody: hasBody, isLeast: true)
    }

    /// Sends as much of the trailers as the client takes.
    func submitFewerTrailers(_ size: HeadSize) {
        StatusTrimmer.trim(self.responseTrailers, to: size.limit)
        _ = downstream.submitTrailers(self.responseTrailers, isLeast: true)
    }
}
