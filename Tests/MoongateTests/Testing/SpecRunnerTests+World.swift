import Testing

@testable import Moongate

/// What specs say about the world of their policies: answers of upstreams, time and secrets.
extension SpecRunnerTests {
    @Test func callsAreAnsweredByStubs() throws {
        let policy = """
            local moon = require "moon"
            function on_request(h)
              local answer, reason = moon.http.post("auth", "/check", "question", { timeout = 2 })
              h:headers():set("answer", answer and answer.status .. answer.body or reason)
            end
            """
        let report = try run(
            """
            local options = { upstreams = { "main", "auth" } }
            local function ask() return load_policy("p.lua", {}, options):request {}.request.headers.answer end
            it("with tables and functions", function()
              http.stub("auth", { status = 200, body = "yes" })
              expect(ask()):to_equal("200yes")
              http.stub("auth", function(call) return { status = 403, body = call.headers[":path"] .. call.body } end)
              expect(ask()):to_equal("403/checkquestion")
              expect(#http.calls()):to_equal(2)
              expect(http.calls("auth")[1].timeout):to_equal(2)
              expect(http.calls("main")):to_equal {}
            end)
            it("with failures", function()
              http.stub("auth", { failure = "timeout" })
              expect(ask()):to_equal("timeout")
              http.stub("auth", { failure = "unavailable" })
              expect(ask()):to_match("^unavailable: ")
            end)
            it("or not at all", function() ask() end)
            """, ["p.lua": policy])
        #expect(failures(report) == ["the policy calls auth, but the spec has no http.stub for it"])
        #expect(report.passed == 2)
    }

    @Test func callsOfGRPCHaveMessages() throws {
        let policy = """
            local moon = require "moon"
            function on_request(h)
              local message, reason = moon.grpc.call("auth", "/a.B/C", "ask\\xff")
              h:headers():set("answer", message and tostring(#message) or reason)
            end
            """
        let report = try run(
            """
            local function ask() return load_policy("p.lua", {}, { upstreams = { "auth" } }):request {}.request.headers.answer end
            it("as requests and as answers", function()
              http.stub("auth", function(call) return { message = call.message .. "\\0\\xfe" } end)
              expect(ask()):to_equal("6")
              expect(http.calls()[1].message):to_equal("ask\\xff")
              http.stub("auth", { grpc_status = 5, trailers = { ["grpc-message"] = "nobody" } })
              expect(ask()):to_equal("NOT_FOUND: nobody")
              http.stub("auth", { message = "x", grpc_status = 0 })
              expect(ask()):to_equal("1")
            end)
            it("or bodies", function() http.stub("auth", { message = "x", body = "y" }); ask() end)
            """, ["p.lua": policy])
        #expect(failures(report) == ["a response: body and message exclude each other"])
    }

    @Test func stubsThatCannotAnswerFailTheTestAndThePolicyGoesOn() throws {
        let policy = """
            local moon = require "moon"
            function on_request(h)
              local _, reason = moon.http.get("auth", "/")
              h:headers():set("answer", reason)
            end
            """
        let report = try run(
            """
            local function ask() return load_policy("p.lua", {}, { upstreams = { "auth" } }):request {} end
            it("raises", function() http.stub("auth", function() error("oops") end); ask() end)
            it("gives nothing", function() http.stub("auth", function() end); ask() end)
            it("fails unheard of", function() http.stub("auth", { failure = "fire" }); ask() end)
            it("has more to say", function() http.stub("auth", { failure = "reset", status = 3 }); ask() end)
            it("is no answer", function() http.stub("auth", 200) end)
            it("calls again", function()
              local inner
              http.stub("auth", function()
                http.stub("auth", { failure = "reset" })
                inner = ask().request.headers.answer
                return { failure = "timeout" }
              end)
              expect(ask().request.headers.answer):to_equal("timeout")
              expect(inner):to_equal("reset: by the spec")
            end)
            """, ["p.lua": policy])
        #expect(
            failures(report) == [
                "a_spec.lua:2: oops", "the stub for auth gave no table",
                "failure must be \"timeout\", \"reset\" or \"unavailable\"",
                "a failure has no \"status\" (known: failure)", "a_spec.lua:6: the answer must be a table, got number",
            ])
    }

    @Test func timersRunWhileTheClockMoves() throws {
        let policy = """
            local moon = require "moon"
            local seen = {}
            function on_init()
              moon.timer.every(10, function() seen[#seen + 1] = moon.time.monotonic() end)
              moon.timer.after(0, function()
                local answer = moon.http.get("keys", "/")
                seen.keys = answer and answer.body
                moon.timer.after(25, function() seen.late = true end)
              end)
            end
            function on_request(h)
              h:headers():set("count", tostring(#seen))
              h:headers():set("keys", seen.keys or "none")
              h:headers():set("late", tostring(seen.late))
              if #seen > 1 then h:headers():set("step", ("%.3f"):format(seen[#seen] - seen[#seen - 1])) end
            end
            """
        let report = try run(
            """
            local function load() return load_policy("p.lua", {}, { upstreams = { "keys" } }) end
            local function ask(policy) return policy:request {}.request.headers end
            it("fires them in order", function()
              http.stub("keys", { body = "k1" })
              local policy = load()
              local seen = ask(policy)
              expect(seen.count .. seen.keys .. seen.late):to_equal("0k1nil")
              clock.advance(9.5)
              expect(ask(policy).count):to_equal("0")
              clock.advance(0.5)
              expect(ask(policy).count):to_equal("1")
              clock.advance(15)
              seen = ask(policy)
              expect(seen.count .. seen.late .. seen.step):to_equal("2true10.000")
              clock.advance(3600)
              expect(ask(policy).count):to_equal("362")
            end)
            it("fails for calls without a stub", function() load() end)
            """, ["p.lua": policy])
        #expect(failures(report) == ["the policy calls keys, but the spec has no http.stub for it"])
    }

    @Test func sleepingHooksLetTimePass() throws {
        let policy = """
            local moon = require "moon"
            function on_request(h)
              local before = moon.time.now()
              moon.sleep(30)
              h:headers():set("slept", ("%.1f"):format(moon.time.now() - before))
            end
            """
        let report = try run(
            """
            it("at once", function()
              expect(load_policy("p.lua"):request {}.request.headers.slept):to_equal("30.0")
            end)
            """, ["p.lua": policy])
        #expect(failures(report) == [])
        #expect(report.passed == 1)
    }

    @Test func secretsAreGivenByName() throws {
        let policy = """
            local moon = require "moon"
            local token
            function on_init() token = moon.secret("token") end
            function on_request(h) h:headers():set("token", token) end
            """
        let report = try run(
            """
            local function load(secrets) return load_policy("p.lua", {}, { secrets = secrets }) end
            it("works", function()
              expect(load({ token = "t" }):request {}.request.headers.token):to_equal("t")
            end)
            it("is missing", function() load {} end)
            it("is empty", function() load { token = "" } end)
            it("is no text", function() load { token = 5 } end)
            """, ["p.lua": policy])
        let found = failures(report)
        #expect(report.passed == 1 && found.count == 3)
        #expect(found.first?.contains("unknown secret") == true)
        #expect(found.dropFirst().first?.contains("it is empty") == true)
        #expect(found.last?.contains("secrets are texts, given by name") == true)
    }
}
