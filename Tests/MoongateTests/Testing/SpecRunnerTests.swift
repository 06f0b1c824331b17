import CMoongate
import Foundation
import MoongateConfig
import Testing

@testable import Moongate

@Suite struct SpecRunnerTests {
    /// Runs one spec beside the policies that are given by file name.
    func run(
        _ spec: String, _ policies: [String: String] = [:], filter: String? = nil,
        timeLimit: Duration = .milliseconds(500)
    ) throws -> SpecReport {
        let folder = try TemporaryFolder()
        for (name, text) in policies { try folder.write(name, text) }
        var options = SpecRunner.Options()
        options.paths = [try #require(AbsolutePath(try folder.write("a_spec.lua", spec)))]
        options.filter = filter
        options.timeLimit = timeLimit
        return SpecRunner.run(options)
    }

    func failures(_ report: SpecReport) -> [String] {
        report.results.flatMap { result in
            if case .failed(let messages) = result.outcome { return messages }
            return []
        }
    }

    private static let adder = "function on_request(h) h:headers():add('x-seen', h:config().mark or 'none') end"

    @Test func testsPassFailAndAreSkipped() throws {
        let report = try run(
            """
            describe("outer", function()
              it("passes", function() expect(1 + 1):to_equal(2) end)
              describe("inner", function()
                it("fails", function()
                  expect({ 1, { a = "x" } }):to_equal { 1, { a = "y" } }
                end)
              end)
              skip("not yet")
            end)
            it("errs", function() local x; return x.y end)
            """)
        #expect(
            report.results.map(\.names) == [
                ["outer", "passes"], ["outer", "inner", "fails"], ["outer", "not yet"], ["errs"],
            ])
        #expect(report.results.map(\.line) == [2, 4, 8, 10])
        #expect((report.passed, report.failed, report.skipped) == (1, 2, 1))
        #expect(
            failures(report) == [
                "a_spec.lua:5: expected { 1, { a = \"x\" } } to equal { 1, { a = \"y\" } }",
                "a_spec.lua:10: attempt to index a nil value (local 'x')",
            ])
    }

    @Test(arguments: [
        ("expect(1):to_equal(1)", true), ("expect(1):to_equal(2)", false),
        ("expect({1, a = {2}}):to_equal({1, a = {2}})", true),
        ("expect({1}):to_equal({1, 2})", false), ("expect({1, 2}):to_equal({1})", false),
        ("expect({}):to_be({})", false),
        ("expect(nil):to_be_truthy()", false), ("expect(0):to_be_truthy()", true),
        ("expect(false):to_be_falsy()", true),
        ("expect(1):to_be_falsy()", false), ("expect(nil):to_be_nil()", true), ("expect(false):to_be_nil()", false),
        ("expect('abc'):to_match('^a.c$')", true), ("expect('abc'):to_match('^b')", false),
        ("expect(5):to_match('5')", false),
        ("expect({'a', 'b'}):to_contain('b')", true), ("expect({'a'}):to_contain('b')", false),
        ("expect('a.b'):to_contain('.')", true), ("expect('ab'):to_contain('.')", false),
        ("expect(1):to_be_less_than(2)", true), ("expect(2):to_be_less_than(2)", false),
        ("expect(3):to_be_greater_than(2)", true), ("expect(2):to_be_greater_than(2)", false),
        ("expect(1):to_be_near(1.05, 0.1)", true), ("expect(1):to_be_near(1.2, 0.1)", false),
        ("expect(1):to_be_a('number')", true), ("expect(1):to_be_a('string')", false),
        ("expect(function() error('no way') end):to_raise('no way')", true),
        ("expect(function() error('no way') end):to_raise('other')", false),
        ("expect(function() end):to_raise()", false), ("expect(5):to_raise()", false),
        ("expect(1).never:to_equal(2)", true), ("expect(1).never:to_equal(1)", false),
        ("expect(1):to_equals(1)", false), ("expect(1).to_equal(1)", false), ("fail('because')", false),
    ])
    func expectationsHoldOrNot(expectation: String, holds: Bool) throws {
        let report = try run("it('checks', function() \(expectation) end)")
        #expect(report.results.count == 1)
        #expect(report.passed == (holds ? 1 : 0), "\(failures(report))")
    }

    @Test func hooksAroundTestsRunInOrder() throws {
        let report = try run(
            """
            local order = {}
            local function note(text) return function() order[#order + 1] = text end end
            before_each(note("outer before"))
            after_each(note("outer after"))
            describe("group", function()
              before_each(note("inner before"))
              after_each(note("inner after"))
              it("runs", note("test"))
            end)
            it("looks", function()
              expect(order):to_equal {
                "outer before", "inner before", "test", "inner after", "outer after", "outer before",
              }
            end)
            """)
        #expect(failures(report) == [])
        #expect(report.passed == 2)
    }

    @Test func aFailureAroundATestIsTheTests() throws {
        let report = try run("after_each(function() error('untidy') end) it('is fine', function() end)")
        #expect(failures(report) == ["a_spec.lua:1: untidy"])
    }

    @Test func policiesRunWithTheRealHandle() throws {
        let report = try run(
            """
            it("adds", function()
              local policy = load_policy("adder.lua", { mark = "here" })
              local result = policy:request { grpc = "/shop.Cart/Add", headers = { ["X-User"] = "ada", n = { 1, 2 } } }
              expect(result.verdict):to_equal("proceeded")
              expect(result.request.headers["x-seen"]):to_equal("here")
              expect(result.request.headers["X-USER"]):to_equal("ada")
              expect(result.request:all("n")):to_equal { "1", "2" }
              expect(result.request.headers["content-type"]):to_equal("application/grpc")
              expect(result.response):to_be_nil()
              result:respond { status = 200, headers = { server = "x" }, body = "hi", grpc_status = 5 }
              expect(result.grpc_status):to_equal(5)
              expect(result.response.headers.server):to_equal("x")
              expect(result.response.body):to_equal("hi")
            end)
            """, ["adder.lua": SpecRunnerTests.adder])
        #expect(failures(report) == [])
    }

    @Test func answersOfPoliciesGoThroughTheirResponseHooks() throws {
        let policy = """
            function on_request(h) h:respond({ [":status"] = 403, ["x-a"] = "1" }, "go away: 100%") end
            function on_response(h) h:headers():add("x-b", "2") end
            """
        let report = try run(
            """
            it("answers gRPC", function()
              local result = load_policy("p.lua"):request { grpc = "/a.B/C" }
              expect(result.verdict):to_equal("replied")
              expect(result.status):to_equal(200)
              expect(result.grpc_status):to_equal(7)
              expect(result.grpc_message):to_equal("go away: 100%")
              expect(result.response.headers["x-b"]):to_equal("2")
              expect(function() result:respond {} end):to_raise("the upstream never saw this request: it was replied")
            end)
            it("answers others", function()
              local result = load_policy("p.lua"):request { path = "/x" }
              expect(result.status):to_equal(403)
              expect(result.grpc_status):to_be_nil()
              expect(result.response.body):to_equal("go away: 100%")
            end)
            """, ["p.lua": policy])
        #expect(failures(report) == [])
    }

    @Test func failingPoliciesDenyAndTheirErrorIsShown() throws {
        let report = try run(
            """
            it("fails closed", function()
              local result = load_policy("p.lua"):request { grpc = "/a.B/C" }
              expect(result.verdict):to_equal("failed")
              expect(result.grpc_status):to_equal(13)
              expect(logs()[1].message):to_contain("p.lua:1: boom")
              expect(logs()[1].fields.reason):to_equal("script")
              fail("look at the log")
            end)
            it("goes on if told", function()
              local result = load_policy("p.lua", {}, { on_error = "continue" }):request { grpc = "/a.B/C" }
              expect(result.verdict):to_equal("proceeded")
            end)
            """, ["p.lua": "function on_request() error('boom') end"])
        #expect(failures(report) == ["a_spec.lua:7: look at the log"])
        let log = try #require(report.results.first?.log.first)
        #expect(log.contains("boom") && log.contains("stack traceback:"))
    }

    @Test func severalPoliciesFilesUpstreamsAndAddressesCanBeGiven() throws {
        let policy = """
            local moon = require "moon"
            function on_init(config) data = moon.file("data.yaml") lines = moon.file("lines.txt") end
            function on_request(h)
              h:headers():add("x", data.a.b .. lines[2] .. h:remoteAddress() .. h:streamInfo():requestedServerName())
              h:setUpstream("other")
            end
            """
        let report = try run(
            #"""
            it("sees all of it", function()
              local policy = load_policies({ "adder.lua", { "p.lua", { x = 1 } } }, {
                files = { ["data.yaml"] = { a = { b = "deep\"" } }, ["lines.txt"] = "one\ntwo\n" },
                upstreams = { "main", "other" },
              })
              local result = policy:request { remote = "192.0.2.7:99", tls = { server_name = "shop.example" } }
              expect(result.request.headers.x):to_equal("deep\"two192.0.2.7shop.example")
              expect(result.request.headers["x-seen"]):to_equal("none")
              expect(result.request.headers[":scheme"]):to_equal("https")
              expect(result.upstream):to_equal("other")
            end)
            """#, ["adder.lua": SpecRunnerTests.adder, "p.lua": policy])
        #expect(failures(report) == [])
    }

    @Test func clientCertificatesAreMadeForSpecs() throws {
        let policy = """
            function on_request(h)
              local tls = h:streamInfo():downstreamSslConnection()
              local subject = tls:parsedSubjectPeerCertificate()
              h:headers():add("x", table.concat({
                tostring(tls:peerCertificatePresented()), tostring(tls:peerCertificateValidated()),
                subject and subject:commonName() or "nobody", subject and subject:organizationName()[1] or "none",
                table.concat(tls:uriSanPeerCertificate(), "+"), table.concat(tls:dnsSansPeerCertificate(), "+"),
                #tls:sha256PeerCertificateDigest(),
              }, " "))
            end
            """
        let report = try run(
            #"""
            it("shows them", function()
              local policy = load_policy("p.lua")
              local function seen(client) return policy:request({ tls = { client = client } }).request.headers.x end
              expect(seen(nil)):to_equal("false false nobody none   0")
              expect(seen(true)):to_equal("true true client none   64")
              expect(seen({ common_name = "ada", organizations = { "Shöp, Inc." }, uris = { "spiffe://a,b" },
                dns_names = { "a.example", "b.example" }, valid = false }))
                :to_equal("true false ada Shöp, Inc. spiffe://a,b a.example+b.example 64")
            end)
            """#, ["p.lua": policy])
        #expect(failures(report) == [])
    }

    @Test(arguments: [
        ("load_policy('none')", "there is no policy called none"),
        ("load_policy('broken.lua')", "broken.lua:1: unexpected symbol near '='"),
        ("load_policy('adder.lua', {}, { file = {} })", "unknown option \"file\""),
        ("load_policy('adder.lua', {}, { on_error = 'maybe' })", "on_error must be one of: deny, continue"),
        ("load_policy('adder.lua', { f = print })", "settings hold texts, numbers, booleans"),
        ("load_policy('adder.lua'):request { grcp = '/a/b' }", "a request has no \"grcp\""),
        ("load_policy('adder.lua'):request { remote = 'here' }", "'here' is no address"),
        ("load_policy('adder.lua'):request { tls = { client = { uris = 'x' } } }", "uris must be a list of texts"),
        ("load_policy('adder.lua'):request { headers = 'x' }", "headers must be a table"),
        ("load_policy('adder.lua'):request():respond { code = 200 }", "a response has no \"code\""),
        ("load_policy('adder.lua').request {}", "call it with a colon"),
    ])
    func mistakesOfSpecsAreNamed(code: String, message: String) throws {
        let report = try run(
            "it('errs', function() \(code) end)", ["adder.lua": SpecRunnerTests.adder, "broken.lua": "x = = 1"])
        #expect(failures(report).count == 1)
        #expect(failures(report).first?.contains(message) == true, "\(failures(report))")
    }

    @Test func passwordsAreChecked() throws {
        let policy = """
            local moon = require "moon"
            function on_init(config) users = moon.passwords { ada = config.hash } end
            function on_request(h)
              if not users:verify("ada", h:headers():get("password")) then h:respond({ [":status"] = "401" }) end
            end
            """
        let report = try run(
            """
            it("waits for the check", function()
              local policy = load_policy("p.lua", { hash = hash_password("right") })
              expect(policy:request { headers = { password = "right" } }.verdict):to_equal("proceeded")
              expect(policy:request { headers = { password = "wrong" } }.status):to_equal(401)
            end)
            """, ["p.lua": policy])
        #expect(failures(report) == [])
    }

    @Test func theFilterLooksAtTheWholeName() throws {
        let spec = "describe('a', function() it('b', function() end) end) it('c', function() end)"
        #expect(try run(spec, filter: "a › b").results.map(\.name) == ["a › b"])
        #expect(try run(spec, filter: "x").results.isEmpty)
    }

    @Test(arguments: [
        ("it(", "unexpected symbol near <eof>"), ("error('top')", "a_spec.lua:1: top"),
        ("it()", "the name of a test must be"),
        ("describe('x', 5)", "the body of a group must be"), ("io.open('x')", "closed in policies"),
    ])
    func specsThatCannotBeLoadedAreFaults(spec: String, message: String) throws {
        let report = try run(spec)
        #expect(report.results.isEmpty)
        #expect(report.faults.first?.contains(message) == true, "\(report.faults)")
    }

    @Test func aFolderWithoutSpecsIsAFault() throws {
        let folder = try TemporaryFolder()
        var options = SpecRunner.Options()
        options.paths = [try #require(AbsolutePath(folder.path))]
        #expect(
            SpecRunner.run(options).faults == ["there are no specs (files that end in _spec.lua) in \(folder.path)"])
        options.paths = [try #require(AbsolutePath(folder.file("none")))]
        #expect(SpecRunner.run(options).faults == ["\(folder.file("none")): there is no such file or folder"])
    }

    @Test func testsDoNotSeeWhatOthersMade() throws {
        let report = try run(
            """
            local policy, old
            it("counts", function()
              policy = load_policy("counter.lua")
              old = policy:request {}
              expect(old.request.headers.n):to_equal("1")
            end)
            it("starts afresh", function()
              expect(logs()):to_equal {}
              expect(load_policy("counter.lua"):request {}.request.headers.n):to_equal("1")
              expect(function() old:close() end):to_raise("belongs to a test that is over")
            end)
            """, ["counter.lua": "n = 0 function on_request(h) n = n + 1 h:headers():set('n', n) print('x') end"])
        #expect(failures(report) == [])
    }

    @Test(.disabled(if: mg_guard_is_held_back(), "ThreadSanitizer holds signals back"))
    func aTestThatDoesNotEndIsStopped() throws {
        let report = try run(
            """
            it("runs for ever", function()
              load_policy("adder.lua"):request {}
              while true do end
            end)
            it("goes on", function() end)
            """, ["adder.lua": SpecRunnerTests.adder])
        #expect(failures(report) == ["a_spec.lua:3: time limit of 500 ms exceeded"])
        #expect(report.passed == 1)
    }

    @Test func theClockIsTheSpecs() throws {
        let policy = """
            local moon = require "moon"
            local seen = moon.dict("seen")
            function on_request(h)
              local headers = h:headers()
              headers:set("before", seen:get("k") or "none")
              seen:set("k", "v", 60)
              headers:set("iso", moon.time.iso())
              headers:set("milliseconds", h:timestamp())
            end
            """
        let report = try run(
            """
            it("moves on when told", function()
              clock.set(1000000000)
              local policy = load_policy("p.lua")
              local function headers() return policy:request {}.request.headers end
              local first = headers()
              expect(first.before):to_equal("none")
              expect(first.iso):to_equal("2001-09-09T01:46:40Z")
              expect(first.milliseconds):to_equal("1000000000000")
              clock.advance(59)
              expect(headers().before):to_equal("v")
              clock.advance(61.5)
              local last = headers()
              expect(last.before):to_equal("none")
              expect(last.milliseconds):to_equal("1000000120500")
              expect(clock.now()):to_equal(1000000120.5)
              expect(function() clock.advance(-1) end):to_raise("clock.advance takes")
            end)
            it("runs again in the next test, with empty dicts", function()
              expect(clock.now()):to_be_greater_than(1700000000)
              expect(load_policy("p.lua"):request {}.request.headers.before):to_equal("none")
            end)
            """, ["p.lua": policy])
        #expect(failures(report) == [])
        #expect(report.passed == 2)
    }
}
