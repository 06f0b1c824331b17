import Testing

@testable import Moongate

/// The ends of requests and policies in specs.
@Suite struct SpecEndingTests {
    private let runner = SpecRunnerTests()

    private func run(_ spec: String, _ policy: String) throws -> SpecReport {
        let text = """
            local function said(text)
              local count = 0
              for _, line in ipairs(logs()) do if line.message == text then count = count + 1 end end
              return count
            end

            """
        return try runner.run(text + spec, ["p.lua": policy])
    }

    @Test func logHooksSeeTheWholeExchange() throws {
        let report = try run(
            """
            local policy
            before_each(function() policy = load_policy("p.lua", {}, { upstreams = { "main", "other" } }) end)
            it("sees answers", function()
              clock.set(1000)
              local result = policy:request { grpc = "/a.B/C", headers = { upstream = "other" } }
              clock.advance(2)
              result:respond { messages = { "a" }, grpc_status = 5 }
              expect(said("ended 200 5 other 2.0 yes")):to_equal(0)
              result:close()
              expect(said("ended 200 5 other 2.0 yes")):to_equal(1)
              result:close()
              expect(said("ended 200 5 other 2.0 yes")):to_equal(1)
              expect(result.grpc_status):to_equal(5)
              expect(function() result:respond {} end):to_raise("has responded already")
            end)
            it("sees calls that are cancelled", function()
              clock.set(1000)
              local result = policy:request { grpc = "/a.B/C" }
              result:close()
              expect(said("ended nil 1 main 0.0 yes")):to_equal(1)
              expect(function() result:respond {} end):to_raise("this request is over")
            end)
            it("sees answers of policies", function()
              clock.set(1000)
              policy:request({ path = "/x", headers = { refuse = "1" } }):close()
              expect(said("ended 403 nil nil 0.0 yes")):to_equal(1)
            end)
            """,
            """
            function on_request(h)
              h:ctx().seen = "yes"
              local upstream = h:headers():get("upstream")
              if upstream then h:setUpstream(upstream) end
              if h:headers():get("refuse") then h:respond { [":status"] = "403" } end
            end
            function on_log(h)
              local upstream = h:upstreamInfo()
              h:logInfo(("ended %s %s %s %.1f %s"):format(
                h:status(), h:grpcStatus(), upstream and upstream.upstream, h:timings().duration, h:ctx().seen))
            end
            """)
        #expect(runner.failures(report) == [])
        #expect(report.passed == 3)
    }

    @Test func errorsOfLogHooksAreLoggedAndChangeNothing() throws {
        let report = try run(
            """
            it("goes on", function()
              local result = load_policy("p.lua"):request({}):respond { status = 201 }
              result:close()
              expect(result.status):to_equal(201)
              expect(logs()[1].message):to_contain("p.lua:1: no")
              expect(logs()[1].fields.hook):to_equal("on_log")
            end)
            """, "function on_log() error('no') end")
        #expect(runner.failures(report) == [])
    }

    @Test func requestsThatAreLeftEndWithTheirTest() throws {
        let report = try run(
            "it('leaves', function() load_policy('p.lua'):request {} fail('look') end)",
            "function on_log(h) h:logInfo('was logged') end")
        #expect(report.results[0].log.contains { $0.contains("was logged") })
    }

    @Test func policiesEndAfterTheirRequests() throws {
        let report = try run(
            """
            it("closes", function()
              local policy = load_policy("p.lua", { name = "n" })
              policy:request {}
              clock.advance(1)
              expect(said("timer")):to_equal(1)
              policy:close()
              policy:close()
              expect(said("log")):to_equal(1)
              expect(said("close n after 1")):to_equal(1)
              clock.advance(10)
              expect(said("timer")):to_equal(1)
              expect(function() policy:request {} end):to_raise("this policy was closed")
              expect(function() policy.close() end):to_raise("call it with a colon")
            end)
            """,
            """
            local moon = require "moon"
            local count = 0
            function on_init() moon.timer.every(1, function() print("timer") end) end
            function on_log(h) count = count + 1 print("log") end
            function on_close(config) print("close " .. config.name .. " after " .. count) end
            """)
        #expect(runner.failures(report) == [])
        #expect(report.passed == 1)
    }

    @Test func onCloseMayWaitForASecond() throws {
        let report = try run(
            """
            local function said(text)
              local count = 0
              for _, line in ipairs(logs()) do if line.message:find(text, 1, true) then count = count + 1 end end
              return count
            end
            it("sends what it has kept", function()
              http.stub("logs", { status = 204 })
              local policy = load_policy("p.lua", { pause = 0.5 }, { upstreams = { "logs" } })
              policy:request {}
              policy:close()
              expect(http.calls("logs")[1].body):to_equal("kept 1")
              expect(said("sent 204")):to_equal(1)
            end)
            it("is given up", function()
              http.stub("logs", { status = 204 })
              local policy = load_policy("p.lua", { pause = 2 }, { upstreams = { "logs" } })
              policy:request {}
              policy:close()
              expect(#http.calls("logs")):to_equal(0)
              expect(said("on_close has not ended within 1000 ms")):to_equal(1)
            end)
            """,
            """
            local moon = require "moon"
            local count = 0
            function on_log(h) count = count + 1 end
            function on_close(config)
              moon.sleep(config.pause)
              print("sent " .. moon.http.post("logs", "/", "kept " .. count).status)
            end
            """)
        #expect(runner.failures(report) == [])
        #expect(report.passed == 2)
    }
}
