/// The length that a request declares, behind policies.
extension Pooled where Record == ExchangeRecord {
    /// Removes a `content-length` that a policy has written and the body does not have: a server could take it for the end
    /// of the request. HTTP/2 does without one (RFC 9113 §8.1.1).
    func settleRequestLength() {
        guard self.request.mayHold(.contentLength), let value = self.request.value(.contentLength) else { return }
        let left = self.downstream.state.expected
        let declared = left < 0 ? nil : left + Int64(self.bytesIn)
        let length = self.requestEnded ? Int64(self.requestBody.total) : declared
        guard length == nil || ContentLength.parse(value) != length else { return }
        requestPointer.pointee.remove(name: Bytes("content-length"))
    }
}
