import MoongateConfig

/// Which fields of a request its peer may send, and whom the request counts for: settled before anything else looks at them.
extension Pooled where Record == ExchangeRecord {
    /// The one answer to whose request this is. `nil` only without a connection.
    var clientAddress: ClientAddress? {
        self.namedClient ?? self.factsReference?._withUnsafeGuaranteedRef { ClientAddress($0.peer) }
    }

    /// - Returns: the answer to a request that must not go on.
    @inline(__always) func admitFields() -> Fault? {
        guard let generation = self.generationReference, let facts = self.factsReference else { return nil }
        return generation._withUnsafeGuaranteedRef { generation in
            facts._withUnsafeGuaranteedRef { facts in
                generation.shared.edgeHeaderRules(facts.listener).flatMap { admitFields($0, facts) }
            }
        }
    }

    @inline(__always) private func admitFields(
        _ rules: UnsafePointer<EdgeHeaderRules>, _ facts: ConnectionFacts
    ) -> Fault? {
        self.trustsPeer = rules.pointee.trusts(facts.peer)
        if self.trustsPeer {
            self.namedClient = ForwardedHeaders.client(self.request, rules)
        } else if self.request.mayHold(.clientClaim) {
            self.request.keep { $0.id != .clientClaim }
        }
        self.request.removesTwins = rules.pointee.underscores == .allow
        return self.request.mayHold(.underscored) ? applyUnderscoreMode(self.request, rules.pointee.underscores) : nil
    }

    /// - Returns: what the exchange fails with.
    func admitTrailers() -> Fault? {
        // RFC 9110 §6.5.1: where a request comes from stands in its head. Servers may merge the two.
        self.requestTrailers.keep { !$0.id.isOfEdge }
        guard self.requestTrailers.mayHold(.underscored) else { return nil }
        let mode = withRules { $0.pointee.underscores } ?? .drop
        self.requestTrailers.removesTwins = mode == .allow
        return applyUnderscoreMode(self.requestTrailers, mode)
    }

    private func withRules<Result>(_ body: (UnsafePointer<EdgeHeaderRules>) -> Result) -> Result? {
        guard let generation = self.generation, let facts = self.facts else { return nil }
        return generation.shared.edgeHeaderRules(facts.listener).map(body)
    }

    private func applyUnderscoreMode(_ fields: HeaderList, _ mode: UnderscoreMode) -> Fault? {
        let before = fields.count
        switch mode {
        case .drop: fields.keep { $0.id != .underscored }
        // Those of names that the edge itself writes, reads or keeps out never pass.
        case .allow:
            fields.keep { $0.id != .underscored || FieldName.identifyTwin($0.name) == .other }
        case .refuse:
            for index in 0..<before where fields[index].id == .underscored {
                countUnderscores(1)
                let name = fields[index].name
                let shown = name[0..<min(name.count, 64)].string
                return .malformed("the name of the header \(shown) has an underscore")
            }
        }
        countUnderscores(before - fields.count)
        return nil
    }

    private func countUnderscores(_ count: Int) {
        guard count > 0, let generation = self.generation, let facts = self.facts else { return }
        let listener = generation.shared.listenerIndex(facts.listener)
        if listener >= 0 { generation.metrics.listener(listener).underscores.add(UInt64(count)) }
    }
}

extension FieldName {
    /// Header fields in which proxies tell each other about a request.
    fileprivate var isOfEdge: Bool {
        switch self {
        case .xForwardedFor, .xForwardedProto, .xForwardedHost, .forwarded, .xForwardedClientCert, .xRequestID,
            .clientClaim:
            true
        default: false
        }
    }
}
