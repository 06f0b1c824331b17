import MoongateConfig
import Testing

@testable import Moongate

/// The Gateway API's conformance cases (GRPCRoute, and HTTPRoute's for paths), and what its suite leaves out.
@Suite struct RouteTablePrecedenceTests {
    private let echo = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho"

    private func header(_ name: String, _ value: String) -> HeaderMatch {
        HeaderMatch(name: name, predicate: .exact(value))
    }

    @Test func G1ExactMethodMatching() throws {
        let fixture = try RouteFixture([
            RouteMatch(path: .method(service: echo, method: "Echo")),
            RouteMatch(path: .method(service: echo, method: "EchoTwo")),
        ])
        #expect(fixture.route("any", "/\(echo)/Echo") == 0)
        #expect(fixture.route("any", "/\(echo)/EchoTwo") == 1)
        #expect(fixture.route("any", "/\(echo)/EchoThree") == -1)
        #expect(fixture.route("any", "/\(echo)/echo") == -1)
    }

    @Test func G2HeaderMatching() throws {
        func route(_ name: String, _ matches: [[HeaderMatch]]) -> RouteConfig {
            RouteConfig(name: name, matches: matches.map { RouteMatch(headers: $0) })
        }
        let fixture = try RouteFixture(routes: [
            route("one", [[header("version", "one")]]), route("two", [[header("version", "two")]]),
            route("two and orange", [[header("version", "two"), header("color", "orange")]]),
            route("blue or green", [[header("color", "blue")], [header("color", "green")]]),
            route("red or yellow", [[header("color", "red")], [header("color", "yellow")]]),
        ])
        let cases: [([String: String], Int)] = [
            (["Version": "one"], 0), (["Version": "two"], 1), (["Version": "two", "Color": "orange"], 2),
            (["Version": "two", "Color": "blue"], 1), (["Color": "orange"], -1), (["Some-Other-Header": "one"], -1),
            (["Color": "blue"], 3), (["Color": "green"], 3), (["Color": "red"], 4), (["Color": "yellow"], 4),
            (["Color": "purple"], -1), ([:], -1),
        ]
        for (headers, expected) in cases { #expect(fixture.route("any", "/s/m", headers) == expected, "\(headers)") }
    }

    @Test func G3ListenerHostnameMatching() throws {
        let fixture = try RouteFixture(routes: [
            RouteConfig(name: "v1", matches: [RouteMatch(hosts: ["bar.com"])]),
            RouteConfig(name: "v2", matches: [RouteMatch(hosts: ["foo.bar.com"])]),
            RouteConfig(name: "v3", matches: [RouteMatch(hosts: ["*.bar.com", "*.foo.com"])]),
        ])
        let cases = [
            ("bar.com", 0), ("foo.bar.com", 1), ("baz.bar.com", 2), ("boo.bar.com", 2),
            ("multiple.prefixes.bar.com", 2),
            ("multiple.prefixes.foo.com", 2), ("foo.com", -1), ("no.matching.host", -1),
        ]
        for (host, expected) in cases { #expect(fixture.route(host) == expected, "\(host)") }
    }

    @Test func G4NamedRule() throws {
        let fixture = try RouteFixture(routes: [
            RouteConfig(name: "named-rule", matches: [RouteMatch(path: .method(service: echo, method: "Echo"))]),
            RouteConfig(name: "", matches: [RouteMatch(path: .method(service: echo, method: "EchoTwo"))]),
        ])
        #expect(fixture.route("any", "/\(echo)/Echo") == 0)
        #expect(fixture.route("any", "/\(echo)/EchoTwo") == 1)
    }

    @Test func serviceAndMethodBeatServiceBeatsMethodBeatsNothing() throws {
        let fixture = try RouteFixture([
            RouteMatch(), RouteMatch(path: .anyServiceMethod("Get")), RouteMatch(path: .service("Shop")),
            RouteMatch(path: .method(service: "Shop", method: "Get")),
        ])
        #expect(fixture.route("h", "/Shop/Get") == 3)
        #expect(fixture.route("h", "/Shop/Put") == 2)
        #expect(fixture.route("h", "/Other/Get") == 1)
        #expect(fixture.route("h", "/Other/Put") == 0)
        #expect(fixture.route("h", "/Shop") == 0)
        #expect(fixture.route("h", "*") == 0)
    }

    @Test func hostBeatsMethodBeatsHeaders() throws {
        let many = ["a", "b", "c"].map { header($0, "1") }
        let fixture = try RouteFixture([
            RouteMatch(headers: many), RouteMatch(path: .method(service: "S", method: "M")),
            RouteMatch(hosts: ["*.com"]), RouteMatch(hosts: ["x.com"]),
        ])
        let headers = ["a": "1", "b": "1", "c": "1"]
        #expect(fixture.route("x.com", "/S/M", headers) == 3)
        #expect(fixture.route("y.com", "/S/M", headers) == 2)
        #expect(fixture.route("y.net", "/S/M", headers) == 1)
        #expect(fixture.route("y.net", "/S/N", headers) == 0)
    }

    @Test func theNumberOfHeadersCountsBeforeTheOrderOfTheFile() throws {
        let fixture = try RouteFixture([
            RouteMatch(headers: [header("a", "1")]), RouteMatch(headers: [header("b", "1")]),
            RouteMatch(headers: [header("a", "1"), header("c", "1")]), RouteMatch(), RouteMatch(),
        ])
        #expect(fixture.route("h", "/s/m", ["a": "1", "b": "1", "c": "1"]) == 2)
        #expect(fixture.route("h", "/s/m", ["a": "1", "b": "1"]) == 0)
        #expect(fixture.route("h", "/s/m", ["b": "1"]) == 1)
        #expect(fixture.route("h", "/s/m") == 3)
    }

    @Test func httpRoutePathMatchOrder() throws {
        let fixture = try RouteFixture([
            RouteMatch(path: .exact("/match")), RouteMatch(path: .exact("/match/exact")),
            RouteMatch(path: .exact("/match/exact/one")), RouteMatch(path: .prefix("/match/")),
            RouteMatch(path: .prefix("/match/prefix/")), RouteMatch(path: .prefix("/match/prefix/one")),
        ])
        let cases = [
            ("/match", 0), ("/match/exact", 1), ("/match/exact/one", 2), ("/match/prefix/one/any", 5),
            ("/match/prefix/any", 4), ("/match/any", 3), ("/match/", 3), ("/match/prefix", 4), ("/matchx", -1),
            ("/", -1),
        ]
        for (path, expected) in cases { #expect(fixture.route("h", path) == expected, "\(path)") }
    }

    @Test func aPrefixEndsAtAnElement() throws {
        let fixture = try RouteFixture([RouteMatch(path: .prefix("/v2")), RouteMatch(path: .prefix("/"))])
        for path in ["/v2", "/v2/", "/v2/x", "/v2?x=1"] { #expect(fixture.route("h", path) == 0, "\(path)") }
        for path in ["/v2example", "/v", "/V2", "/v%202"] { #expect(fixture.route("h", path) == 1, "\(path)") }
    }

    @Test func theQueryTakesNoPart() throws {
        let fixture = try RouteFixture([RouteMatch(path: .method(service: "S", method: "M"))])
        #expect(fixture.route("h", "/S/M?x=/S/N") == 0)
        #expect(fixture.route("h", "/S?/M") == -1)
    }
}
