import MoongateConfig

/// What policies see of the generation that their exchange belongs to, on one worker. Kept by the worker's generation.
final class PolicyView {
    let config: Configuration
    /// By the configuration's index.
    let upstreams: [Upstream]
    private let routeTable: RouteTable

    init(_ config: Configuration, routeTable: RouteTable, upstreams: [Upstream]) {
        self.config = config
        self.routeTable = routeTable
        self.upstreams = upstreams
    }

    /// The route that a request has as it is now; -1: none.
    func match(listener: Int, _ request: HeaderList) -> Int {
        routeTable.match(listener: listener, headers: request)
    }

    /// Whether the route of some request depends on its fields of this name.
    @inline(__always) func routesRead(_ name: FieldName) -> Bool { routeTable.reads(name) }
}

extension Pooled where Record == PolicyRunRecord {
    var view: PolicyView? { self.subject.view?.takeUnretainedValue() }

    /// The route that was chosen; before that, the one that the request has as it is now.
    var route: RouteConfig? {
        guard let view else { return nil }
        var index = self.subject.route
        if index < 0, let request = self.subject.request {
            index = view.match(listener: self.subject.listener, request)
        }
        return view.config.routes.indices.contains(index) ? view.config.routes[index] : nil
    }

    var listener: ListenerConfig? {
        guard let view else { return nil }
        let index = self.subject.listener
        return view.config.listeners.indices.contains(index) ? view.config.listeners[index] : nil
    }
}
