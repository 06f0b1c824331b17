import Moongate
import MoongateLint
import Testing

/// Findings of the linter about hooks and about arguments that stand in the source.
@Suite struct ArgumentLintTests {
    private func findings(_ source: String, needsHooks: Bool = false) -> [LintFinding] {
        var api = PolicyAPI.lint
        api.needsHooks = needsHooks
        return PolicyLint.check(Array(source.utf8), api: api)
    }

    @Test(arguments: [
        ("h:respond(403, 'no')", "argument 1 of respond is a number, and must be a table"),
        ("h:headers():get(1)", "argument 1 of get is a number, and must be a string"),
        ("h:headers():add('a', {})", "argument 2 of add is a table, and must be a number or string"),
        ("h:headers():get(nil)", "argument 1 of get is a nil, and must be a string"),
        ("h:setTimeout('5s')", "argument 1 of setTimeout is a string, and must be a number"),
        ("h:headers():remove(true)", "argument 1 of remove is a boolean, and must be a string"),
        ("moon.timer.every(print, 5)", "argument 2 of moon.timer.every is a number, and must be a function"),
        ("moon.hash({})", "argument 1 of moon.hash is a table, and must be a string"),
        ("moon.jwt.verifier('x')", "argument 1 of moon.jwt.verifier is a string, and must be a table"),
        ("h:logInfo { 'x' }", "argument 1 of logInfo is a table, and must be a string"),
    ])
    func argumentsOfTheWrongTypeAreFoundWhereTheyAreLiteral(call: String, finding: String) {
        let found = findings("local moon = require 'moon'\nfunction on_request(h) \(call) return moon end")
        #expect(found.map(\.message) == [finding])
        #expect(found.first?.severity == .warning && found.first?.hint?.contains("(") == true)
    }

    @Test(arguments: [
        "h:respond({ [':status'] = '403' }, 'no')", "h:respond({ [':status'] = '403' })", "h:headers():add('a', 1)",
        "h:headers():get(other)", "h:headers():get('a' .. 1)", "h:headers():get(not 1)", "h:setTimeout(-1 + 5)",
        "moon.timer.every(5, function() end)", "h:logInfo 'x'", "h:headers():get(#'abc')", "h:respond(x or 5)",
        "other:respond(5)", "moon.json.encode(5)", "h:body(true)",
    ])
    func rightAndUnknownArgumentsAreLeftAlone(call: String) {
        let found = findings(
            "local moon = require 'moon'\nx, other = 1, {}\nfunction on_request(h) \(call) return moon, x, other end")
        #expect(found.map(\.message) == [])
    }

    @Test func misspeltHooksAndLocalOnesAreFaults() {
        #expect(findings("function on_reqest(h) end").map(\.severity) == [.fault])
        let local = findings("local function on_request(h) end function on_log(h) end")
        #expect(local.map(\.severity) == [.fault])
        #expect(local.first?.message == "the hook on_request is local, so that it never runs")
        #expect(findings("local function on_request(h) end function envoy_on_request(h) on_request(h) end") == [])
    }

    @Test(arguments: ["x = 1 print(x)", "", "local function helper() end helper()"])
    func filesWithoutHooksAreFaultsWhereOneIsNeeded(source: String) {
        #expect(findings(source, needsHooks: true).map(\.severity) == [.fault])
        #expect(findings(source).filter { $0.severity == .fault } == [])
    }

    @Test(arguments: [
        "return { word = 'a' }", "_G['on_request'] = print", "local env = _ENV env.on_log = print",
        "require('moon').timer.every(1, print)", "load('function on_request() end')()", "function on_init() end",
    ])
    func modulesAndHooksThatCannotBeFollowedAreLeftAlone(source: String) {
        #expect(findings(source, needsHooks: true).filter { $0.severity == .fault } == [])
    }
}
