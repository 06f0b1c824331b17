import MoongateConfig
import Testing

@testable import Moongate

@Suite struct RouteExplanationTests {
    private func explain(
        _ routes: [RouteConfig], _ request: RouteRequest, listeners: [String] = ["main"], listener: Int = 0
    ) throws -> RouteExplanation {
        let table = try RouteTable(routes: routes, listeners: listeners)
        return request.withList {
            RouteExplanation(routes, table, listener: listener, name: listeners[listener], $0)
        }
    }

    /// The reasons are computed from the rules, the verdict is the table's: both must name the same route.
    @Test(arguments: 0..<30)
    func theWinnerOfTheReasonsIsTheTables(seed: Int) throws {
        var random = SeededGenerator(state: UInt64(seed) &+ 1000)
        let listeners = ["one", "two", "three"]
        let routes = (0..<Int.random(in: 1...25, using: &random)).map { RandomRules.route($0, listeners, &random) }
        for _ in 0..<40 {
            let request = RandomRules.request(&random)
            let listener = Int.random(in: 0..<3, using: &random)
            let explanation = try explain(routes, request, listeners: listeners, listener: listener)
            let winners = explanation.alternatives.filter { $0.outcome == .wins }.map(\.route)
            #expect(winners == (explanation.route < 0 ? [] : [explanation.route]), "\(request)")
        }
    }

    @Test func everyOtherRuleHasItsReason() throws {
        let header = HeaderMatch(name: "env", predicate: .exact("one"))
        let routes = [
            RouteConfig(name: "elsewhere", listeners: ["other"]),
            RouteConfig(name: "host", matches: [RouteMatch(hosts: ["b.com"])]),
            RouteConfig(name: "path", matches: [RouteMatch(path: .service("T"))]),
            RouteConfig(name: "header", matches: [RouteMatch(headers: [header])]),
            RouteConfig(name: "suffix", matches: [RouteMatch(hosts: ["*.com"], path: .exact("/S/M"))]),
            RouteConfig(name: "prefix", matches: [RouteMatch(hosts: ["a.com"], path: .prefix("/S"))]),
            RouteConfig(
                name: "twice",
                matches: [
                    RouteMatch(hosts: ["a.com"], path: .method(service: "S", method: "M")),
                    RouteMatch(hosts: ["a.com"], path: .exact("/S/M"), headers: [.init(name: "v", predicate: .absent)]),
                ]),
            RouteConfig(
                name: "late",
                matches: [
                    RouteMatch(hosts: ["a.com"], path: .exact("/S/M"), headers: [.init(name: "w", predicate: .absent)])
                ]),
        ]
        let explanation = try explain(
            routes, RouteRequest(authority: "a.com:80", path: "/S/M?q"), listeners: ["main", "other"])
        #expect(
            explanation.alternatives.map(\.outcome) == [
                .otherListener, .host, .path, .header(header), .loses(.host), .loses(.path), .loses(.headers), .wins,
                .loses(.order),
            ])
        #expect(explanation.route == 6 && explanation.decidedBy == .order)
    }

    @Test func aloneNothingHasToDecide() throws {
        let explanation = try explain([RouteConfig(name: "all")], RouteRequest())
        #expect(explanation.route == 0 && explanation.decidedBy == nil)
        let none = try explain([RouteConfig(name: "r", matches: [RouteMatch(path: .exact("/x"))])], RouteRequest())
        #expect(none.route == -1 && none.decidedBy == nil && none.alternatives.map(\.outcome) == [.path])
    }
}
