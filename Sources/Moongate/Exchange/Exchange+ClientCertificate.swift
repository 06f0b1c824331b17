/// The header `x-forwarded-client-cert`, by which servers behind the edge know the client's certificate.
extension Pooled where Record == ExchangeRecord {
    /// Settles the header as the listener wants it: no client may claim a certificate that it has not shown, unless the
    /// configuration says so.
    @inline(__always) func applyClientCertificate() {
        self.factsReference?._withUnsafeGuaranteedRef { facts in
            if facts.clientCertificate.header == .remove && !self.request.mayHold(.xForwardedClientCert) { return }
            settle(facts)
        }
    }

    private func settle(_ facts: ConnectionFacts) {
        let name = Bytes("x-forwarded-client-cert")
        let certificate = facts.clientCertificate
        switch certificate.header {
        case .remove: self.request.remove(name: name)
        case .keep: break
        case .set: self.request.set(name: name, value: certificate.element)
        case .append:
            var value: [UInt8] = []
            for index in 0..<self.request.count where self.request[index].id == .xForwardedClientCert {
                value += self.request[index].value.buffer
                value.append(UInt8(ascii: ","))
            }
            value += certificate.element.buffer
            value.withUnsafeBufferPointer { buffer in
                guard let base = buffer.baseAddress else { return }
                self.request.set(name: name, value: Bytes(base, buffer.count))
            }
        }
    }
}
