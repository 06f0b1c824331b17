import MoongateConfig

/// The canonical form of a path that somebody asks about, on one listener.
struct ExplainedPath {
    /// Canonical, or as it was asked for if it is refused.
    let text: String
    private(set) var fault: PathFault?
    private let traits: PathTraits

    init(_ request: ExplainedRequest, on listener: ListenerConfig) {
        guard request.path != "*" else {
            (text, traits) = (request.path, [])
            return
        }
        let types = request.headers.filter { $0.name == "content-type" }.map(\.value)
        // A request is a gRPC call unless its headers say otherwise.
        let isGRPC = types.isEmpty || types.contains { $0.withBytes { GRPCContentType.isRelated($0) } }
        let (outcome, text) = RequestPath.canonicalize(request.path, listener.paths ?? .strict, isGRPC: isGRPC)
        self.text = text
        switch outcome {
        case .plain(let traits), .rewritten(_, let traits): self.traits = traits
        case .refused(let fault): (self.fault, traits) = (fault, [])
        }
    }

    /// The route is known; `nil`: there is none.
    mutating func check(_ route: RouteConfig?) {
        let refused = traits.intersection(.restricted).subtracting(route.map(PathTraits.allowed) ?? .encodedEnd)
        if refused.contains(.parameters) { fault = .parameters } else if !refused.isEmpty { fault = .encodedSlash }
    }

    /// Another reading of the path leads to another route.
    mutating func isAmbiguous() {
        if fault == nil, !traits.isDisjoint(with: [.encodedSlash, .encodedEnd]) { fault = .otherRoute }
    }

    /// For the report's text; none where there is nothing to say.
    func rows(for asked: String) -> [[String]] {
        let rows = text == asked ? [] : [["path", "\(text) for policies, routes and the upstream"]]
        return rows + (fault.map { [["refused", "400, INTERNAL for gRPC: \($0.text)"]] } ?? [])
    }
}
