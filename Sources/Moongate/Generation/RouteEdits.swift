import MoongateConfig

/// What a route changes of requests and responses. Most routes have none.
final class RouteEdits {
    let request: HeaderEdits?
    let rewrite: Rewrite?
    let response: HeaderEdits?
    let trailers: HeaderEdits?

    /// `nil`: the route changes nothing.
    /// - Parameter isLenient: some listener of the route is.
    /// - Throws: what is wrong with its rewrite.
    init?(_ route: RouteConfig, isLenient: Bool) throws(Diagnostic) {
        let hasHeaders = [route.requestHeaders, route.responseHeaders, route.responseTrailers].contains { $0 != nil }
        guard hasHeaders || route.rewrite != nil else { return nil }
        rewrite = if let config = route.rewrite { try Rewrite(config, of: route, isLenient: isLenient) } else { nil }
        request = route.requestHeaders.map(HeaderEdits.init)
        response = route.responseHeaders.map(HeaderEdits.init)
        trailers = route.responseTrailers.map(HeaderEdits.init)
    }

    deinit {
        for edits in [request, response, trailers] { edits?.free() }
        rewrite?.free()
    }
}
