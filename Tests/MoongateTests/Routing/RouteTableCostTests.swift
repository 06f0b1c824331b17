import Glibc
import MoongateConfig
import Testing

@testable import Moongate

/// That a look-up does not go through the routes. CPU time in a shared test process is no fine measure: the bound
/// is far above noise and far below what any linear search over 10,000 routes would take (a factor of 100 and
/// more). By instructions, optimised, the two differ by less than 5 %.
@Suite(.serialized) struct RouteTableCostTests {
    enum Kind: Int, CaseIterable { case host, wildcard, service, method, prefix, headerValue, headerName }

    private static func match(_ number: Int, _ kind: Kind) -> RouteMatch {
        let host = ["api.example.com"]
        switch kind {
        case .host: return RouteMatch(hosts: ["h\(number).example.com"], path: .service("shop.Cart"))
        case .wildcard: return RouteMatch(hosts: ["*.w\(number).example.com"])
        case .service: return RouteMatch(hosts: host, path: .service("shop.Service\(number)"))
        case .method: return RouteMatch(hosts: host, path: .method(service: "shop.Cart", method: "Method\(number)"))
        case .prefix: return RouteMatch(hosts: host, path: .prefix("/v\(number)/x"))
        case .headerValue:
            return RouteMatch(headers: [HeaderMatch(name: "x-tenant", predicate: .exact("tenant-\(number)"))])
        case .headerName: return RouteMatch(headers: [HeaderMatch(name: "x-name-\(number)", predicate: .present)])
        }
    }

    private func request(_ number: Int, _ kind: Kind) -> RouteRequest {
        var request = RouteRequest(authority: "api.example.com:443", path: "/shop.Cart/Nothing")
        switch kind {
        case .host: request.authority = "h\(number).example.com"
        case .wildcard: request.authority = "x.y.w\(number).example.com"
        case .service: request.path = "/shop.Service\(number)/Get"
        case .method: request.path = "/shop.Cart/Method\(number)"
        case .prefix: request.path = "/v\(number)/x/y"
        case .headerValue: request.headers = [("x-tenant", "tenant-\(number)")]
        case .headerName: request.headers = [("x-name-\(number)", "1")]
        }
        return request
    }

    private static let last = 999_999

    /// A table of `count` routes of all kinds, the last one of each kind at the end. Built once: that takes longest.
    private static func table(_ count: Int) throws -> RouteTable {
        let kinds = Kind.allCases
        let filler = (0..<count - kinds.count).map { match($0, kinds[$0 % kinds.count]) }
        return try RouteFixture(filler + kinds.map { match(last, $0) }).table
    }

    private static let small = Result { try table(10) }
    private static let large = Result { try table(10_000) }

    @Test(arguments: Kind.allCases)
    func tenThousandRoutesCostAsMuchAsTen(kind: Kind) throws {
        let times = try [Self.small.get(), Self.large.get()].enumerated().map { place, table in
            let count = place == 0 ? 10 : 10_000
            #expect(table.match(request(Self.last, kind)) == count - Kind.allCases.count + kind.rawValue)
            return fastest(table, request(Self.last, kind))
        }
        #expect(times[1] < times[0] * 4, "\(times)")
    }

    /// CPU nanoseconds of 200 look-ups, the best of twenty tries.
    private func fastest(_ table: RouteTable, _ request: RouteRequest) -> Int {
        request.withList { headers in
            var best = Int.max
            for _ in 0..<20 {
                let start = threadTime()
                for _ in 0..<200 { _ = table.match(listener: 0, headers: headers) }
                best = min(best, threadTime() - start)
            }
            return best
        }
    }

    private func threadTime() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }
}
