import Glibc
import MoongateConfig
import Testing

@testable import Moongate

/// That a look-up does not go through the routes. CPU time in a shared test process is no fine measure: the bound
/// is far above noise and far below what any linear search over 10,000 routes would take (a factor of 100 and
/// more). By instructions, optimised, the two differ by less than 5 %.
@Suite(.serialized) struct RouteTableCostTests {
    enum Kind: Int, CaseIterable { case host, wildcard, service, method, prefix, headerValue, headerName }

    private func match(_ number: Int, _ kind: Kind) -> RouteMatch {
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

    @Test(arguments: Kind.allCases)
    func tenThousandRoutesCostAsMuchAsTen(kind: Kind) throws {
        let last = 999_999
        let times = try [10, 10_000].map { count in
            let filler = (0..<count - 1).map { match($0, Kind.allCases[$0 % Kind.allCases.count]) }
            let table = try RouteFixture(filler + [match(last, kind)]).table
            #expect(table.match(request(last, kind)) == count - 1)
            return fastest(table, request(last, kind))
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
