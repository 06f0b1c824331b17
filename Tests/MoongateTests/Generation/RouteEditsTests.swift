import MoongateConfig
import Testing

@testable import Moongate

@Suite final class RouteEditsTests {
    private var list = HeaderList()

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
        withUnsafeMutablePointer(to: &list) { list in
            edits.apply(
                to: list,
                HeaderVariables(
                    request: list, client: Bytes("10.0.0.9"), number: 0xab, listener: Bytes("edge"),
                    route: Bytes("greeter"), upstream: .empty))
        }
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
        _ path: String, _ config: RewriteConfig, _ matches: [PathMatch] = [.any]
    ) throws -> String? {
        fill([(":path", path), (":authority", "api.example.com")])
        let route = RouteConfig(name: "r", matches: matches.map { RouteMatch(path: $0) })
        let rewrite = try Rewrite(config, of: route)
        defer { rewrite.free() }
        return rewrite.apply(to: &list) ? list.value(.path)?.string : nil
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

    @Test(arguments: ["/v../admin", "/v%2e%2e/admin", "/v./", "/v.%2E"])
    func patternsMakeNoDotSegments(path: String) throws {
        #expect(RequestPath.fault(Bytes.allocated(path)) == nil)
        #expect(try rewrite(path, RewriteConfig(path: .pattern("^/v(.*)$", substitution: #"/\1"#))) == nil)
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
