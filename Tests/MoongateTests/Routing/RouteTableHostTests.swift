import MoongateConfig
import Testing

@testable import Moongate

@Suite struct RouteTableHostTests {
    private func hosts(_ names: String...) throws -> RouteFixture {
        try RouteFixture(names.map { RouteMatch(hosts: $0.isEmpty ? [] : [$0]) })
    }

    @Test func aPortNeverTakesPart() throws {
        let fixture = try hosts("api.example.com", "::1", "10.0.0.1")
        for authority in ["api.example.com", "api.example.com:443", "api.example.com:", "API.Example.Com:1234"] {
            #expect(fixture.route(authority) == 0, "\(authority)")
        }
        for authority in ["[::1]", "[::1]:443", "::1"] { #expect(fixture.route(authority) == 1, "\(authority)") }
        #expect(fixture.route("10.0.0.1:50051") == 2)
        #expect(fixture.route("443") == -1)
        #expect(fixture.route("[::2]:443") == -1)
    }

    @Test func theTableKnowsWhatItsRoutesLookAt() throws {
        let plain = try hosts("").table
        #expect(plain.reads(.path) && !plain.reads(.authority) && !plain.reads(.other))
        let byHost = try hosts("*.example.com", "").table
        #expect(byHost.reads(.authority) && byHost.reads(.host) && !byHost.reads(.method) && !byHost.reads(.other))
        for match in [HeaderMatch.Predicate.exact("a"), .present, .absent, .prefix("a"), .regex("a")] {
            let byHeader = try RouteFixture([RouteMatch(headers: [HeaderMatch(name: "x-a", predicate: match)])]).table
            #expect(byHeader.reads(.other) && byHeader.reads(.method) && byHeader.reads(.authority), "\(match)")
        }
    }

    @Test func aTrailingDotIsTheSameHost() throws {
        let fixture = try hosts("api.example.com", "*.example.com")
        #expect(fixture.route("api.example.com.") == 0)
        #expect(fixture.route("api.example.com.:443") == 0)
        #expect(fixture.route("other.example.com.") == 1)
    }

    @Test func theHostHeaderCountsOnlyWithoutAuthority() throws {
        let fixture = try hosts("a.com", "b.com")
        #expect(fixture.route(nil, "/s/m", ["host": "b.com:80"]) == 1)
        #expect(fixture.route("a.com", "/s/m", ["host": "b.com"]) == 0)
        #expect(fixture.route(nil) == -1)
    }

    @Test func aWildcardTakesAnyNumberOfLabelsButNotTheBareSuffix() throws {
        let fixture = try hosts("*.bar.com", "*.foo.com")
        #expect(fixture.route("baz.bar.com") == 0)
        #expect(fixture.route("multiple.prefixes.bar.com") == 0)
        #expect(fixture.route("multiple.prefixes.foo.com") == 1)
        for authority in ["bar.com", ".bar.com", "xbar.com", "bar.com.evil", "com"] {
            #expect(fixture.route(authority) == -1, "\(authority)")
        }
    }

    @Test func exactBeatsLongWildcardBeatsShortWildcardBeatsNone() throws {
        let fixture = try hosts("", "*.example.com", "*.foo.example.com", "abc.foo.example.com")
        #expect(fixture.route("abc.foo.example.com") == 3)
        #expect(fixture.route("xyz.foo.example.com") == 2)
        #expect(fixture.route("foo.example.com") == 1)
        #expect(fixture.route("example.com") == 0)
        #expect(fixture.route(nil) == 0)
    }

    @Test func aHostWithoutAFittingRuleFallsThroughToLessSpecificHosts() throws {
        let fixture = try RouteFixture([
            RouteMatch(hosts: ["a.b.com"], path: .service("One")),
            RouteMatch(hosts: ["*.b.com"], path: .service("Two")),
            RouteMatch(hosts: ["*.com"], path: .service("Three")), RouteMatch(path: .service("Four")),
        ])
        for (position, service) in ["One", "Two", "Three", "Four"].enumerated() {
            #expect(fixture.route("a.b.com", "/\(service)/M") == position)
        }
        #expect(fixture.route("a.b.com", "/Five/M") == -1)
    }

    /// HTTPRouteHostnameIntersection of the Gateway API, as far as it is about the host.
    @Test func veryLongAndManyLabelledHostsAreHarmless() throws {
        let fixture = try hosts("*.example.com", "")
        #expect(fixture.route(String(repeating: "a.", count: 20_000) + "example.com") == 0)
        #expect(fixture.route(String(repeating: ".", count: 60_000)) == 1)
        #expect(fixture.route(String(repeating: "x", count: 60_000)) == 1)
        #expect(fixture.route("") == 1)
    }

    @Test func aRouteServesOnlyItsListeners() throws {
        let routes = [
            RouteConfig(name: "b", listeners: ["b"], matches: [RouteMatch(hosts: ["x.com"])]),
            RouteConfig(name: "both"),
            RouteConfig(name: "a", listeners: ["a"], matches: [RouteMatch(hosts: ["x.com"])]),
        ]
        let table = try RouteTable(routes: routes, listeners: ["a", "b", "c"])
        let request = RouteRequest(authority: "x.com")
        #expect((0..<3).map { table.match(request, listener: $0) } == [2, 0, 1])
        #expect(table.match(request, listener: 3) == -1)
        #expect(table.match(request, listener: -1) == -1)
    }
}
