import MoongateConfig
import Testing

@testable import Moongate

@Suite final class RouteEditsTests {
    private let list = HeaderList()

    deinit { list.destroy() }

    private func fill(_ fields: [(String, String)]) {
        list.reset()
        for (name, value) in fields {
            name.withBytes { name in value.withBytes { list.add(name: name, value: $0) } }
        }
    }

    private var text: [String] { (0..<list.count).map { "\(list[$0].name.string): \(list[$0].value.string)" } }

    private func edit(_ fields: [(String, String)], _ config: HeaderEditsConfig) -> [String] {
        fill(fields)
        let edits = HeaderEdits(config)
        defer { edits.free() }
        edits.apply(
            to: list,
            HeaderVariables(
                request: list, client: Bytes("10.0.0.9"), number: 0xab, listener: Bytes("edge"),
                route: Bytes("greeter"), upstream: .empty))
        return text
    }

    private static func literal(_ name: String, _ value: String) -> HeaderEditsConfig.Field {
        .init(name: name, value: HeaderTemplate(value.isEmpty ? [] : [.text(value)]))
    }

    @Test func removeThenSetThenAdd() {
        let config = HeaderEditsConfig(
            set: [Self.literal("a", "3"), Self.literal("d", "")],
            add: [Self.literal("c", "2"), Self.literal("b", "9")],
            remove: ["b", "missing"])
        #expect(
            edit([("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")], config) == ["a: 3", "c: 1", "d: ", "c: 2", "b: 9"])
    }

    @Test func variablesAreFilledIn() {
        let parts: [HeaderTemplate.Part] = [
            .clientAddress, .text("|"), .requestID, .text("|"), .listener, .text("|"), .route, .text("|"), .upstream,
            .header("a"),
        ]
        let config = HeaderEditsConfig(set: [.init(name: "x", value: HeaderTemplate(parts))])
        #expect(edit([("a", "1")], config).last == "x: 10.0.0.9|00000000000000ab|edge|greeter|1")
        #expect(edit([("x-request-id", "own")], config).last == "x: 10.0.0.9|own|edge|greeter|")
    }

    @Test func aVariableThatSaysNothingWritesNoField() {
        let value = HeaderTemplate([.header("missing")])
        let config = HeaderEditsConfig(set: [.init(name: "a", value: value)], add: [.init(name: "b", value: value)])
        #expect(edit([("a", "1"), ("c", "2")], config) == ["c: 2"])
    }

    @Test func aValueMayBeMadeOfTheFieldThatItReplaces() {
        let value = HeaderTemplate([.text("<"), .header("a"), .text(">")])
        #expect(edit([("a", "1")], HeaderEditsConfig(set: [.init(name: "a", value: value)])) == ["a: <1>"])
    }

    /// RFC 9113 §8.2.1
    @Test func noValueBeginsOrEndsWithABlank() {
        let parts: [HeaderTemplate.Part] = [.header("missing"), .text(" is "), .header("missing")]
        let config = HeaderEditsConfig(set: [
            .init(name: "x", value: HeaderTemplate(parts)),
            .init(name: "y", value: HeaderTemplate([.text(" "), .header("missing")])),
        ])
        #expect(edit([("a", "1")], config) == ["a: 1", "x: is"])
    }

    // MARK: Rewrite

    private func rewrite(
        _ path: String, _ config: RewriteConfig, _ matches: [PathMatch] = [.any],
        _ more: (inout RouteConfig) -> Void = { _ in }
    ) throws -> String? {
        fill([(":path", path), (":authority", "api.example.com")])
        var route = RouteConfig(name: "r", matches: matches.map { RouteMatch(path: $0) })
        more(&route)
        let rewrite = try Rewrite(config, of: route)
        defer { rewrite.free() }
        return rewrite.apply(to: list, .strict) ? list.value(.path)?.string : nil
    }

    @Test(
        arguments: [
            ("/v1/a", "/v2", "/v2/a"), ("/v1", "/v2", "/v2"), ("/v1?x=/v1", "/v2", "/v2?x=/v1"), ("/v1/", "/", "/"),
            ("/v1", "/", "/"), ("/v1/a/b?q", "/", "/a/b?q"), ("/v1/long/a", "/s/", "/s/a"), ("/v1x", "/v2", "/v1x"),
            ("*", "/v2", "*"),
        ])
    func aPrefixIsReplacedByWholeElements(path: String, prefix: String, result: String) throws {
        let matches: [PathMatch] = [.prefix("/v1"), .prefix("/v1/long/")]
        #expect(try rewrite(path, RewriteConfig(path: .prefix(prefix)), matches) == result)
    }

    @Test func aServiceIsAPrefixAndNoneIsPutInFront() throws {
        let config = RewriteConfig(path: .prefix("/pkg.v2.Svc"))
        #expect(try rewrite("/pkg.v1.Svc/Get", config, [.service("pkg.v1.Svc")]) == "/pkg.v2.Svc/Get")
        #expect(try rewrite("/a", RewriteConfig(path: .prefix("/base"))) == "/base/a")
    }

    @Test func thePathAndTheAuthorityAsAWhole() throws {
        let config = RewriteConfig(path: .whole("/pkg.Svc/New"), authority: .literal("internal:80"))
        #expect(try rewrite("/pkg.Svc/Old?a=b", config) == "/pkg.Svc/New?a=b")
        #expect(list.value(.authority)?.string == "internal:80")
    }

    @Test func patternsReplaceEveryMatch() throws {
        let swap = RewriteConfig(path: .pattern("/([a-z]+)/([a-z]+)", substitution: #"/\2/\1"#))
        #expect(try rewrite("/a/b/c/d?e/f", swap) == "/b/a/d/c?e/f")
        #expect(try rewrite("/1", swap) == "/1")
        #expect(try rewrite("/a", RewriteConfig(path: .pattern("^/", substitution: ""))) == nil)
    }

    @Test(arguments: ["/v../admin", "/v./", "/v..?x"])
    func patternsMakeNoDotSegments(path: String) throws {
        let (outcome, _) = RequestPath.canonicalize(path, .strict, isGRPC: false)
        #expect(outcome == .plain([]))
        #expect(try rewrite(path, RewriteConfig(path: .pattern("^/v(.*)$", substitution: #"/\1"#))) == nil)
    }

    @Test func whatARewriteMakesIsCanonicalOrRefused() throws {
        func made(_ substitution: String, _ more: (inout RouteConfig) -> Void = { _ in }) throws -> String? {
            try rewrite("/a/b", RewriteConfig(path: .pattern("^/a", substitution: substitution)), [.any], more)
        }
        #expect(try made("/%61%3a") == "/a%3A/b")
        #expect(try made("//x/") == "/x/b")
        #expect(try made("/%2e%2e") == nil && made("/%25") == "/%25/b" && made("/x%") == nil && made("/%00") == nil)
        #expect(try made("/x;y") == nil)
        #expect(try made("/x;y") { $0.pathParameters = .allow } == "/x;y/b")
        #expect(try made("/x%2f") == nil)
        #expect(try made("/x%2f") { $0.encodedSlash = .keep } == "/x%2F/b")
    }

    @Test func aRewriteOfTheConfigurationIsMadeCanonicalOnce() throws {
        #expect(try rewrite("/a?b", RewriteConfig(path: .whole("/%7ex%3a"))) == "/~x%3A?b")
        #expect(try rewrite("/v1/a", RewriteConfig(path: .prefix("/v%32/")), [.prefix("/v1")]) == "/v2/a")
        for path in ["/a//b", "/a/../b", "/a;b", "/a%2Fb", "/a%"] {
            #expect(throws: Diagnostic.self) { try rewrite("/", RewriteConfig(path: .whole(path))) }
            #expect(throws: Diagnostic.self) { try rewrite("/", RewriteConfig(path: .prefix(path))) }
        }
        for pattern in ["^/%61", "/x%2fy", "%2E"] {
            #expect(throws: Diagnostic.self) {
                try rewrite("/", RewriteConfig(path: .pattern(pattern, substitution: "/")))
            }
        }
        #expect(try rewrite("/a%3Ab", RewriteConfig(path: .pattern("%3A", substitution: "-"))) == "/a-b")
    }

    @Test(
        arguments: [
            ("/a%3Ab/c", "/n/c"), ("/a:b/c", "/n/c"), ("/a%3Ab", "/n"), ("/a:b;x/c;y", "/n/c;y"),
            ("/a%3Abc", "/a%3Abc"),
        ])
    func aPrefixIsReplacedInEverySpelling(path: String, result: String) throws {
        let made = try rewrite(path, RewriteConfig(path: .prefix("/n")), [.prefix("/a:b")]) {
            $0.pathParameters = .allow
        }
        #expect(made == result)
    }

    @Test func badPatternsAndSubstitutionsAreFaults() {
        #expect(throws: Diagnostic.self) {
            try rewrite("/", RewriteConfig(path: .pattern("(", substitution: "")))
        }
        #expect(throws: Diagnostic.self) {
            try rewrite("/", RewriteConfig(path: .pattern("a", substitution: #"\1"#)))
        }
    }
}
