import MoongateConfig
import Testing

@testable import Moongate

@Suite struct RouteTableHeaderTests {
    private func matches(_ predicate: HeaderMatch.Predicate, name: String = "x", _ headers: [(String, String)]) throws
        -> Bool
    {
        let fixture = try RouteFixture([RouteMatch(headers: [HeaderMatch(name: name, predicate: predicate)])])
        return fixture.table.match(RouteRequest(headers: headers.map { (name: $0.0, value: $0.1) })) == 0
    }

    @Test func namesCompareWithoutCaseAndValuesWithIt() throws {
        #expect(try matches(.exact("a"), [("X", "a")]))
        #expect(try !matches(.exact("a"), [("x", "A")]))
        #expect(try !matches(.exact("a"), [("y", "a")]))
    }

    @Test func repeatedHeadersAreJoined() throws {
        #expect(try matches(.exact("a,b"), [("x", "a"), ("y", "-"), ("X", "b")]))
        #expect(try !matches(.exact("a"), [("x", "a"), ("x", "b")]))
        #expect(try !matches(.exact("b"), [("x", "a"), ("x", "b")]))
        #expect(try matches(.prefix("a,"), [("x", "a"), ("x", "b")]))
        #expect(try matches(.regex("a,b,c"), [("x", "a"), ("x", "b"), ("x", "c")]))
        let long = String(repeating: "z", count: 5000)
        #expect(try matches(.exact("\(long),\(long)"), [("x", long), ("x", long)]))
    }

    @Test func R5CookieCrumbsAreJoinedWithSemicolons() throws {
        #expect(try matches(.exact("a=1; b=2"), name: "cookie", [("cookie", "a=1"), ("cookie", "b=2")]))
        #expect(try matches(.regex(".*; b=2"), name: "cookie", [("cookie", "a=1"), ("cookie", "b=2")]))
    }

    @Test func presentAndAbsentLookAtTheNameOnly() throws {
        #expect(try matches(.present, [("x", "")]))
        #expect(try !matches(.present, []))
        #expect(try matches(.absent, [("y", "1")]))
        #expect(try !matches(.absent, [("x", "")]))
    }

    @Test func anAbsentHeaderMatchesNoValue() throws {
        #expect(try !matches(.exact(""), []))
        #expect(try matches(.exact(""), [("x", "")]))
        #expect(try !matches(.prefix(""), []))
        #expect(try !matches(.regex(".*"), []))
    }

    @Test func aPatternHasToMatchTheWholeValue() throws {
        #expect(try matches(.regex("v[0-9]+"), [("x", "v12")]))
        #expect(try !matches(.regex("v[0-9]+"), [("x", "v12a")]))
        #expect(try !matches(.regex("v[0-9]+"), [("x", "av12")]))
        #expect(try matches(.regex("a|ab"), [("x", "ab")]))
    }

    @Test func aPatternTakesLinearTime() throws {
        let value = String(repeating: "a", count: 50_000) + "!"
        var fits = true
        let time = try ContinuousClock().measure { fits = try matches(.regex("(a*)*(a*)*(a|aa)+"), [("x", value)]) }
        #expect(!fits)
        #expect(time < .seconds(2))
    }

    @Test func aBadPatternIsReportedWithItsPlace() throws {
        let place = SourceLocation(file: "moongate.yaml", line: 7, column: 3)
        let bad = RouteConfig(
            name: "bad", listeners: ["nowhere"],
            matches: [RouteMatch(path: .prefix("x"), headers: [HeaderMatch(name: "env", predicate: .regex("(a"))])],
            location: place)
        let error = #expect(throws: DiagnosticList.self) { try RouteTable(routes: [bad], listeners: ["main"]) }
        let texts = error?.diagnostics.map(\.description) ?? []
        #expect(texts.count == 3)
        #expect(texts.allSatisfy { $0.hasPrefix("moongate.yaml:7:3: route \"bad\": ") })
        #expect(texts.contains { $0.contains("pattern for the header \"env\" is not valid: missing ) (") })
        #expect(!texts.contains { $0.contains("(a") }, "the pattern may be a key")
        #expect(texts.contains { $0.contains("no listener \"nowhere\"") })
        #expect(texts.contains { $0.contains("path \"x\": the path does not begin with a slash") })
    }

    /// Names beyond the 64 that the search remembers in one word.
    @Test func manyHeaderNamesInOneBucketAreToldApart() throws {
        let fixture = try RouteFixture(
            (0..<200).map { RouteMatch(headers: [HeaderMatch(name: "name-\($0)", predicate: .exact("a,b"))]) })
        for number in [0, 63, 64, 65, 150, 199] {
            let repeated = [(name: "name-\(number)", value: "a"), (name: "name-\(number)", value: "b")]
            #expect(fixture.table.match(RouteRequest(headers: repeated)) == number)
            #expect(fixture.table.match(RouteRequest(headers: Array(repeated.prefix(1)))) == -1)
        }
    }
}
