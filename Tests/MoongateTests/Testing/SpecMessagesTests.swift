import Testing

@testable import Moongate

/// gRPC messages and bodies in specs.
@Suite struct SpecMessagesTests {
    private let runner = SpecRunnerTests()

    private static let policy = #"""
        seen = 0
        function on_grpc_message(h, m)
          seen = seen + 1
          local b = m:bytes()
          if b == "drop" then m:drop() return end
          if b == "boom" then error("boom") end
          if b == "end" then h:grpcRespond { status = "ABORTED", message = "enough", details = "xyz", metadata = { a = "b" } } end
          m:set((h:isResponse() and "<" or ">") .. b)
        end
        """#

    @Test func hooksSeeTheCanonicalPath() throws {
        let report = try runner.run(
            #"""
            it("decodes", function()
              local r = load_policy("m.lua"):request { path = "/%61//b%2b?%61" }
              expect(r.request.headers[":path"]):to_equal "/a/b%2B?%61"
            end)
            it("refuses", function()
              local p = load_policy("m.lua")
              expect(function() p:request { path = "/a/../b" } end):to_raise "dot segments"
              expect(function() p:request { grpc = "/%61/b" } end):to_raise "percent sign"
            end)
            """#, ["m.lua": "function on_request(h) end"])
        #expect(report.failed == 0 && report.passed == 2)
    }

    @Test func messagesGoThroughTheHook() throws {
        let report = try runner.run(
            #"""
            it("changes", function()
              local p = load_policy("m.lua")
              local r = p:request { grpc = "/a.B/C", messages = { "one", "drop", "two\255", { bytes = "z", compressed = true } } }
              expect(r.request.messages):to_equal { ">one", ">two\255", ">z" }
              r:respond { messages = { "x", "drop" } }
              expect(r.response.messages):to_equal { "<x" }
              expect(r.grpc_status):to_equal(0)
            end)
            it("ends midway", function()
              local r = load_policy("m.lua"):request { grpc = "/a.B/C" }:respond { messages = { "x", "end", "y" } }
              expect(r.response.messages):to_equal { "<x" }
              expect(r.grpc_status):to_equal(10)
              expect(r.response.trailers.a):to_equal "b"
              expect(r.verdict):to_equal "replied"
            end)
            it("fails midway", function()
              local r = load_policy("m.lua"):request { grpc = "/a.B/C" }:respond { messages = { "x", "boom", "y" } }
              expect(r.response.messages):to_equal { "<x" }
              expect(r.grpc_status):to_equal(13)
            end)
            it("goes on", function()
              local r = load_policy("m.lua", {}, { on_error = "continue" }):request { grpc = "/a.B/C" }:respond { messages = { "x", "boom", "y" } }
              expect(r.response.messages):to_equal { "<x", "boom", "<y" }
              expect(r.grpc_status):to_equal(0)
            end)
            it("takes many", function()
              local list = {}
              for i = 1, 2000 do list[i] = "abc" end
              local r = load_policy("m.lua"):request { grpc = "/a.B/C", messages = list }
              expect(#r.request.messages):to_equal(2000)
              expect(r.request.messages[2000]):to_equal(">abc")
            end)
            it("replies in request", function()
              local r = load_policy("m.lua"):request { grpc = "/a.B/C", messages = { "a", "end" } }
              expect(r.grpc_status):to_equal(10)
              expect(r.verdict):to_equal("replied")
            end)
            it("cut", function()
              local r = load_policy("m.lua"):request { grpc = "/a.B/C", body = "\0\0\0\0\9abc" }
              expect(r.grpc_status):to_equal(13)
              expect(r.grpc_message):to_match("ends within a message")
            end)
            """#, ["m.lua": SpecMessagesTests.policy], timeLimit: .seconds(10))
        #expect(runner.failures(report) == [])
        #expect(report.passed == 7)
    }

    @Test func bodiesComeBehindTheirHeads() throws {
        let report = try runner.run(
            """
            it("resets what is not gRPC", function()
              local result = load_policy("p.lua"):request { body = "text" }:respond { body = ("x"):rep(200000) }
              expect(result.request.body):to_equal("TEXT")
              expect(result.verdict):to_equal("failed")
              expect(result.reset):to_equal(true)
              expect(logs()[1].message):to_contain("header map can no longer be modified")
            end)
            it("waits for hooks that wait behind the head", function()
              clock.set(1000)
              local result = load_policy("slow.lua"):request { grpc = "/a.B/C", messages = { "a", "b" } }
              expect(result.request.messages):to_equal { "a!", "b!" }
              expect(clock.now()):to_equal(1004)
            end)
            it("names mistakes", function()
              local policy = load_policy("slow.lua")
              local function fails(request, text)
                expect(function() policy:request(request) end):to_raise(text)
              end
              fails({ body = "a", messages = {} }, "a request: body and messages exclude each other")
              fails({ messages = "a" }, "messages must be a list")
              fails({ messages = { { text = "a" } } }, 'a message has no "text"')
            end)
            """,
            [
                "p.lua": """
                function on_request(h) local b = h:body() b:setBytes(b:getBytes(0, b:length()):upper()) end
                function on_response(h) for c in h:bodyChunks() do h:headers():add("x", "y") end end
                """,
                "slow.lua": """
                local moon = require "moon"
                function on_grpc_message(h, m) moon.sleep(2) m:set(m:bytes() .. "!") end
                """,
            ])
        #expect(runner.failures(report) == [])
        #expect(report.passed == 3)
    }
}
