import MoongateConfig
import Testing

@testable import Moongate

@Suite struct PathPatternTests {
    @Test(arguments: [
        ("/a", "/a", "/a"), ("/%61%2eb", "/a.b", "/a.b"), ("/a%3ab", "/a%3Ab", "/a:b"), ("/a:b", "/a:b", "/a:b"),
        ("/caf%c3%a9", "/caf%C3%A9", "/caf%C3%A9"), ("/a%20b/", "/a%20b/", "/a%20b/"),
    ])
    func patternsBecomeCanonical(text: String, canonical: String, key: String) throws {
        let pattern = try PathPattern(text)
        #expect(pattern.canonical == canonical && pattern.key == key)
    }

    @Test(arguments: [
        ("a", "slash", nil), ("/a//b", "empty segments", "merged"), ("/a#b", "fragment", "%23"),
        ("/a/../b", "dot segments", "leads"),
        ("/a/%2e", "dot segments", "leads"), ("/a%2fb", "encoded slash", "encoded_slash: keep"),
        ("/a;b", "parameters", "path_parameters: allow"), ("/a%3bb", "parameters", "path_parameters: allow"),
        ("/a b", "blank", nil),
        ("/a%", "percent sign", "%25"), ("/%2541", "twice", "once"), ("/%ff", "UTF-8", "UTF-8"),
        ("/a\\b", "backslash", nil),
        ("/a%5Cb", "backslash", nil), ("/%00", "control", nil), ("/\u{e4}", "ASCII", nil),
    ])
    func aPatternThatNoRequestFitsIsAFault(text: String, why: String, hint: String?) {
        do throws(PathPattern.Fault) {
            _ = try PathPattern(text)
            Issue.record("\(text) is taken")
        } catch {
            #expect(error.message.contains(text) && error.message.contains(why), "\(error.message)")
            if let hint { #expect(error.hint?.contains(hint) == true, "\(error)") }
        }
    }

    @Test func aRouteMayTakeMore() throws {
        var route = RouteConfig(name: "r")
        route.pathParameters = .allow
        route.encodedSlash = .keep
        let pattern = try PathPattern("/a;b%2fc", .init(route, isLenient: false))
        #expect(pattern.canonical == "/a;b%2Fc" && pattern.spelling == [.parameters, .encodedDelimiters])
        let lenient = try PathPattern("/a%2fb%00", .init(RouteConfig(name: "r"), isLenient: true))
        #expect(lenient.canonical == "/a%2fb%00" && lenient.key == "/a%2Fb%00")
    }
}

@Suite struct CanonicalRoutingTests {
    private func table(_ routes: (PathMatch, (inout RouteConfig) -> Void)...) throws -> RouteTable {
        let routes = routes.enumerated().map { index, item in
            var route = RouteConfig(name: "r\(index)", matches: [RouteMatch(path: item.0)])
            item.1(&route)
            return route
        }
        return try RouteTable(routes: routes, listeners: ["main"])
    }

    private func same(_: inout RouteConfig) {}

    @Test func reservedCharactersMatchInBothSpellings() throws {
        for spelling in ["/v1/{a}:b+c", "/v1/%7Ba%7D%3Ab%2bc", "/%76%31/{%61}:b%2Bc"] {
            let table = try table((.exact(spelling), same), (.prefix(spelling + "/x"), same))
            for path in ["/v1/{a}:b+c", "/v1/%7Ba%7D%3Ab%2Bc", "/v1/{a}%3Ab+c?d"] {
                #expect(table.match(RouteRequest(path: path)) == 0, "\(spelling) \(path)")
            }
            #expect(table.match(RouteRequest(path: "/v1/%7Ba%7D:b+c/x/y")) == 1)
            #expect(table.match(RouteRequest(path: "/v1/a:b+c")) == -1)
        }
    }

    @Test func parametersTakeNoPartUnlessAPatternHasThem() throws {
        let table = try table(
            (.prefix("/cars"), { $0.pathParameters = .allow }), (.exact("/cars;old"), { $0.pathParameters = .allow }),
            (.any, same))
        #expect(table.match(RouteRequest(path: "/cars;red/x;y")) == 0)
        #expect(table.match(RouteRequest(path: "/cars%3Bred")) == 0)
        #expect(table.match(RouteRequest(path: "/cars;old")) == 1)
        #expect(table.match(RouteRequest(path: "/cars%3Bold")) == 1)
        #expect(table.match(RouteRequest(path: "/;x/cars")) == 0)
        #expect(table.match(RouteRequest(path: "/car;s")) == 2)
    }

    @Test func anotherReadingMustLeadToTheSameRoute() throws {
        let table = try table(
            (.prefix("/admin"), same), (.prefix("/files"), same), (.exact("/a%2Fb"), { $0.encodedSlash = .keep }),
            (.any, same))
        func isUnambiguous(_ path: String) -> Bool {
            RouteRequest(path: path).withList { list in
                let route = table.match(listener: 0, headers: list)
                return table.isUnambiguous(listener: 0, headers: list, route: route)
            }
        }
        #expect(isUnambiguous("/files/a%2Fb") && isUnambiguous("/x%2Fy") && isUnambiguous("/files/what%3F"))
        #expect(isUnambiguous("/a%2Fb"), "the pattern says so itself")
        #expect(!isUnambiguous("/admin%2Fdelete") && !isUnambiguous("/admin%3Fx") && !isUnambiguous("/admin%23"))
        #expect(!isUnambiguous("/x%2F%2Fadmin/y") || table.match(RouteRequest(path: "/x/admin/y")) == 3)
    }
}
