/// What the edge itself writes into heads and trailers: the listener's part before anything else looks at a request, the
/// route's behind all policies.
extension Pooled where Record == ExchangeRecord {
    /// Tells where the request came from.
    @inline(__always) func writeEdgeHeaders() {
        lend { generation, facts in
            guard let rules = generation.shared.edgeHeaderRules(facts.listener) else { return }
            let sender = ForwardedHeaders.Sender(facts, client: self.namedClient, isTrusted: self.trustsPeer)
            ForwardedHeaders.write(self.request, rules, sender, number: self.number)
        }
    }

    /// The name of the request in the access log: that of the upstream, where the edge has a say in it.
    func requestID(_ number: Bytes, _ generation: WorkerGeneration) -> Bytes {
        guard let facts = self.facts, let rules = generation.shared.edgeHeaderRules(facts.listener),
            rules.pointee.requestID != .off
        else { return number }
        return self.request.value(.xRequestID) ?? number
    }

    /// As the access log has them.
    var loggedPath: Bytes { self.originalPath.isEmpty ? self.request.value(.path) ?? .empty : self.originalPath }
    var loggedAuthority: Bytes {
        self.originalAuthority.isEmpty ? self.request.value(.authority) ?? .empty : self.originalAuthority
    }

    // MARK: The route's edits

    /// The route is known: its edits are those that count from now on.
    @inline(__always) func noteEdits(_ generation: WorkerGeneration) {
        self.edits = self.route >= 0 ? generation.route(self.route).pointee.edits : nil
    }

    /// False: the exchange has failed.
    @inline(__always) func editRequest() -> Bool { self.edits == nil || makeRequestEdits() }

    private func makeRequestEdits() -> Bool {
        guard let edits = self.edits else { return true }
        self.originalPath = self.request.value(.path) ?? .empty
        self.originalAuthority = self.request.value(.authority) ?? .empty
        let isSendable = edits._withUnsafeGuaranteedRef { edits in
            edits.request?.apply(to: self.request, variables)
            self.request.joinCookies()
            return edits.rewrite?.apply(to: self.request, pathMode) ?? true
        }
        if !isSendable { fail(.rewriteFailed) }
        return isSendable
    }

    /// The upstream hears its own name, where the route wants that.
    @inline(__always) func nameEndpoint(_ endpoint: Endpoint, in request: HeaderList) {
        guard let edits = self.edits else { return }
        edits._withUnsafeGuaranteedRef { edits in
            guard edits.rewrite?.namesEndpoint == true else { return }
            request.set(name: Bytes(":authority"), value: endpoint.authority)
        }
    }

    /// - Parameter isWhole: nothing follows the head.
    @inline(__always) func editResponse(isWhole: Bool) {
        guard let edits = self.edits else { return }
        edits._withUnsafeGuaranteedRef { edits in
            edits.response?.apply(to: self.response, variables)
            // S1: a head that ends a gRPC response is made of its trailers.
            if isWhole && self.responseIsGRPC { edits.trailers?.apply(to: self.response, variables) }
        }
    }

    /// A route that keeps a field from its clients keeps it from them in 1xx heads, too.
    func editInterim() {
        guard let edits = self.edits else { return }
        edits._withUnsafeGuaranteedRef { $0.response?.apply(to: self.response, variables) }
    }

    @inline(__always) func editTrailers() {
        guard let edits = self.edits else { return }
        edits._withUnsafeGuaranteedRef { $0.trailers?.apply(to: self.responseTrailers, variables) }
    }

    private var variables: HeaderVariables {
        let facts = self.facts
        let generation = self.generation
        return HeaderVariables(
            request: self.request, client: clientAddress?.host ?? .empty,
            number: self.number, listener: facts?.listenerBytes ?? .empty,
            route: self.route >= 0 ? generation?.route(self.route).pointee.name ?? .empty : .empty,
            upstream: self.upstreamIndex >= 0
                ? generation?.upstream(self.upstreamIndex).nameBytes ?? .empty : .empty)
    }
}
