import MoongateConfig

/// The path of a request: canonical before anything looks at it, and looked at again with each route that the request takes.
extension Pooled where Record == ExchangeRecord {
    /// Settles the head as it is now: the client's, or what policies have made of it.
    /// - Returns: the answer to a request that must not go on.
    @inline(__always) func normalizeHead() -> Fault? { RequestCheck.normalize(self.request, pathPointer, pathMode) }

    /// How paths become canonical on the request's listener.
    var pathMode: PathMode {
        var mode = PathMode.strict
        lend { generation, facts in mode = generation.shared.edgeHeaderRules(facts.listener)?.pointee.paths ?? .strict }
        return mode
    }

    /// As `pathFault`, for the route that the request would take if no policy changed it: policies of the listener, and what the
    /// edge answers itself, see no path that none of its routes allows.
    @inline(__always) func provisionalPathFault() -> Fault? {
        self.path.traits.isDisjoint(with: .restricted) ? nil : lookAhead()
    }

    private func lookAhead() -> Fault? {
        var fault: Fault?
        lend { generation, facts in
            let route = generation.match(facts, self.request, self.path.traits)
            fault = lookCloser(generation, facts, route)
        }
        return fault
    }

    /// The fault of a path that the route does not allow; -1: no route, which allows nothing.
    @inline(__always) func pathFault(
        _ generation: WorkerGeneration, _ facts: ConnectionFacts, _ route: Int
    ) -> Fault? {
        self.path.traits.isDisjoint(with: .restricted) ? nil : lookCloser(generation, facts, route)
    }

    private func lookCloser(_ generation: WorkerGeneration, _ facts: ConnectionFacts, _ route: Int) -> Fault? {
        let allowed: PathTraits = route >= 0 ? generation.route(route).pointee.allowedTraits : .encodedEnd
        let refused = self.path.traits.intersection(.restricted).subtracting(allowed)
        if refused.contains(.parameters) { return .malformed(PathFault.parameters.text) }
        if refused.contains(.encodedSlash) { return .malformed(PathFault.encodedSlash.text) }
        guard !self.path.traits.isDisjoint(with: [.encodedSlash, .encodedEnd]) else { return nil }
        let isUnambiguous = generation.shared.routeTable.isUnambiguous(
            listener: generation.shared.listenerIndex(facts.listener), headers: self.request, route: route)
        return isUnambiguous ? nil : .malformed(PathFault.otherRoute.text)
    }

    private var pathPointer: UnsafeMutablePointer<CanonicalPath> {
        withUnsafeMutablePointer(to: &pointer.pointee.state.path) { $0 }
    }
}
