import MoongateConfig
import Testing

@testable import Moongate

/// Random route sets over few words, so that rules collide, and random requests over the same words.
@Suite struct RouteTablePropertyTests {
    @Test(arguments: 0..<60)
    func everyAnswerIsTheReferencesAnswer(seed: Int) throws {
        var random = SeededGenerator(state: UInt64(seed))
        let listeners = ["one", "two", "three"]
        let routes = (0..<Int.random(in: 1...40, using: &random)).map { RandomRules.route($0, listeners, &random) }
        let table = try RouteTable(routes: routes, listeners: listeners)
        let reference = ReferenceMatcher(routes: routes, listeners: listeners)
        for _ in 0..<300 {
            let request = RandomRules.request(&random)
            let listener = Int.random(in: 0..<3, using: &random)
            let expected = reference.match(request, listener: listener)
            #expect(table.match(request, listener: listener) == expected, "listener \(listener): \(request)")
        }
    }
}

enum RandomRules {
    static let hosts = [
        "a.com", "b.a.com", "c.b.a.com", "*.a.com", "*.b.a.com", "*.com", "::1", "10.0.0.1", "localhost", "*.c.b.a.com",
    ]
    static let authorities = [
        "a.com", "B.a.com", "c.b.a.com", "c.b.a.com:80", "x.c.b.a.com", "x.com", "a.com.", "[::1]:443", "[::1]",
        "10.0.0.1:8080", "localhost", "LOCALHOST:1", ".a.com", "xa.com", "com", "", "::1",
    ]
    static let paths = [
        "/", "/S", "/S/", "/S/M", "/S/N", "/T/M", "/T/N", "/S/M/x", "/S/M/", "/SS/M", "/S/M?q=/T", "*", "/T", "/U/V/W",
        "/pkg.Long.Service/Method", "/M/", "/M",
    ]
    static let names = ["env", "x-tenant", "cookie", "version"]
    static let values = ["one", "two", "one,two", "one; two", "onetwo", ""]

    static func route(_ number: Int, _ listeners: [String], _ random: inout SeededGenerator) -> RouteConfig {
        RouteConfig(
            name: "r\(number)",
            listeners: Bool.random(using: &random) ? [] : some(listeners, 1, &random),
            matches: (0..<Int.random(in: 1...3, using: &random)).map { _ in match(&random) })
    }

    private static func match(_ random: inout SeededGenerator) -> RouteMatch {
        RouteMatch(
            hosts: some(hosts, 2, &random), path: path(&random),
            headers: (0..<Int.random(in: 0...3, using: &random)).map { _ in header(&random) })
    }

    private static func path(_ random: inout SeededGenerator) -> PathMatch {
        let plain = paths.filter { $0.hasPrefix("/") && !$0.contains("?") }
        let text = plain.randomElement(using: &random) ?? "/"
        switch Int.random(in: 0..<6, using: &random) {
        case 0: return .service(["S", "T", "SS", "pkg.Long.Service"].randomElement(using: &random) ?? "S")
        case 1: return .method(service: Bool.random(using: &random) ? "S" : "T", method: "M")
        case 2: return .anyServiceMethod(Bool.random(using: &random) ? "M" : "N")
        case 3: return .exact(text)
        case 4: return .prefix(text)
        default: return .any
        }
    }

    private static func header(_ random: inout SeededGenerator) -> HeaderMatch {
        let value = values.randomElement(using: &random) ?? ""
        let predicate: HeaderMatch.Predicate =
            switch Int.random(in: 0..<7, using: &random) {
            case 0: .present
            case 1: .absent
            case 2: .prefix(value)
            case 3: .regex(["one|two", "on.*", "(two)?", "[a-z]+"].randomElement(using: &random) ?? "")
            default: .exact(value)
            }
        return HeaderMatch(name: names.randomElement(using: &random) ?? "env", predicate: predicate)
    }

    static func request(_ random: inout SeededGenerator) -> RouteRequest {
        var request = RouteRequest()
        request.authority =
            Int.random(in: 0..<10, using: &random) == 0 ? nil : authorities.randomElement(using: &random)
        request.path = paths.randomElement(using: &random) ?? "/"
        if request.authority == nil && Bool.random(using: &random) { request.headers.append(("host", "a.com")) }
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            let name = names.randomElement(using: &random) ?? "env"
            request.headers.append(
                (Bool.random(using: &random) ? name : name.uppercased(), values.randomElement(using: &random) ?? ""))
        }
        return request
    }

    /// Up to `count` of `all`, at times none.
    private static func some(_ all: [String], _ count: Int, _ random: inout SeededGenerator) -> [String] {
        (0..<Int.random(in: 0...count, using: &random)).compactMap { _ in all.randomElement(using: &random) }
    }
}
