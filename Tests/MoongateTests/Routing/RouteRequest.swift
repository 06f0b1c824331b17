import MoongateConfig

@testable import Moongate

/// A request as the routing tests write it down.
struct RouteRequest: CustomStringConvertible {
    var authority: String? = "api.example.com"
    var path = "/pkg.Service/Method"
    var headers: [(name: String, value: String)] = []

    var description: String { "\(authority ?? "-") \(path) \(headers.map { "\($0.name): \($0.value)" })" }

    func withList<Result>(_ body: (HeaderList) throws -> Result) rethrows -> Result {
        let list = HeaderList()
        defer { list.destroy() }
        func add(_ name: String, _ value: String) {
            name.withBytes { name in value.withBytes { value in list.add(name: name, value: value) } }
        }
        add(":method", "POST")
        if let authority { add(":authority", authority) }
        add(":path", path)
        for header in headers { add(header.name, header.value) }
        return try body(list)
    }
}

extension RouteTable {
    func match(_ request: RouteRequest, listener: Int = 0) -> Int {
        request.withList { match(listener: listener, headers: $0) }
    }
}

/// A table for one listener from the matches of routes, one alternative each, and the route a request takes.
struct RouteFixture {
    let table: RouteTable
    let routes: [RouteConfig]

    init(_ matches: [RouteMatch]) throws {
        try self.init(routes: matches.enumerated().map { RouteConfig(name: "r\($0.offset)", matches: [$0.element]) })
    }

    init(routes: [RouteConfig], listeners: [String] = ["main"]) throws {
        self.routes = routes
        table = try RouteTable(routes: routes, listeners: listeners)
    }

    func route(
        _ authority: String? = "api.example.com", _ path: String = "/pkg.Service/Method",
        _ headers: [String: String] = [:]
    ) -> Int {
        table.match(RouteRequest(authority: authority, path: path, headers: headers.map { ($0.key, $0.value) }))
    }
}
