import MoongateConfig
import Testing

@testable import Moongate

/// Chains of policies over the two phases of an exchange.
@Suite struct PolicyRunTests {
    @Test func emissaryPortStripScriptRunsUnchanged() throws {
        let bench = try PolicyBench(
            """
            function envoy_on_request(request_handle)
              local authority = request_handle:headers():get(":authority")
              if(string.find(authority, ":") ~= nil)
              then
                local authority_index = string.find(authority, ":")
                local stripped_authority = string.sub(authority, 1, authority_index - 1)
                request_handle:headers():replace(":authority", stripped_authority)
              end
            end
            """)
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed)
        #expect(call.request[":authority"] == "shop.example")
        #expect(call.subject.requestWritten)
        #expect(call.request[3].id == .authority)
        call.end()
    }

    @Test func requestHooksRunInOrderAndResponseHooksInReverse() throws {
        let files = ["a.lua", "b.lua", "c.lua"]
        let text = { (name: String) in
            """
            function on_request(h) h:headers():add("x-order", "\(name)") end
            function on_response(h) h:headers():add("x-order", "\(name)") end
            """
        }
        let bench = try PolicyBench(
            Dictionary(uniqueKeysWithValues: files.map { ($0, text($0)) }), files.map { .init($0) })
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed)
        #expect(call.request.all("x-order") == files)
        call.response.add(":status", "200")
        #expect(call.run.startResponse() == .proceed)
        #expect(call.response.all("x-order") == files.reversed())
        call.end()
    }

    @Test func anInstanceRunsOnceEvenIfTwoChainsNameIt() throws {
        let bench = try PolicyBench(#"function on_request(h) h:headers():add("x-ran", "1") end"#)
        let (_, call) = try bench.request()
        #expect(call.run.continueRequest(try bench.chain) == .proceed)
        #expect(call.request.all("x-ran") == ["1"])
        call.end()
    }

    @Test func settingsAreOfTheInstance() throws {
        let word = { (text: String) in SettingValue.table([.init(key: "word", value: .string(text))]) }
        let bench = try PolicyBench(
            ["p.lua": #"function on_request(h) h:headers():add("x-word", h:config().word) end"#],
            [
                .init("p.lua", settings: word("one")), .init("p.lua", settings: word("two")),
                .init("p.lua", settings: word("one")),
            ])
        let (_, call) = try bench.request()
        #expect(call.request.all("x-word") == ["one", "two"])
        #expect(bench.program.instances.count == 2)
        call.end()
    }

    @Test func repliesEndTheChainAndGoThroughTheResponseHooksThatWereReached() throws {
        let bench = try PolicyBench(
            [
                "first.lua": #"function on_response(h) h:headers():add("x-seen", h:headers():get("grpc-status")) end"#,
                "second.lua": #"function on_request(h) h:respond({[":status"] = "403"}, "no") end"#,
                "third.lua": "function on_request(h) error('never') end function on_response(h) error('never') end",
            ], [.init("first.lua"), .init("second.lua"), .init("third.lua")])
        let (verdict, call) = try bench.request()
        #expect(verdict == .reply)
        #expect(call.run.startResponse() == .proceed)
        #expect(call.response["x-seen"] == "7")
        call.end()
        #expect(bench.log.all.isEmpty)
    }

    @Test func scriptErrorsDenyWithPlaceAndTracebackInTheLog() throws {
        let bench = try PolicyBench("local function inner() error('oops') end\nfunction on_request(h)\n  inner()\nend")
        let (verdict, call) = try bench.request()
        #expect(verdict == .fail(.script))
        call.end()
        let line = try #require(bench.log.all.first)
        #expect(line.contains("error: etc/p.lua:1: oops"))
        #expect(line.contains("policy=p") && line.contains("request=000000000000beef"))
        #expect(line.contains("etc/p.lua:3: in function"))
        let cells = PolicyCells(row: bench.registry.policies.entry("p").block.row(0))
        #expect(cells.row[PolicyCells.Column.error(.onRequest, .script)].value == 1)
        #expect(cells.row[PolicyCells.Column.runs].value == 1)
    }

    @Test func onErrorContinueKeepsTheEditsAndGoesOn() throws {
        let bench = try PolicyBench(
            [
                "bad.lua": #"function on_request(h) h:headers():add("x-before", "1") error("oops") end"#,
                "good.lua": #"function on_request(h) h:headers():add("x-after", "1") end"#,
            ], [.init("bad.lua", onError: .continue), .init("good.lua")])
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed)
        #expect(call.request["x-before"] == "1" && call.request["x-after"] == "1")
        #expect(bench.log.all.count == 1)
        call.end()
    }

    @Test func memoryAndYieldFaultsHaveTheirOwnReasons() throws {
        let bench = try PolicyBench(
            ["p.lua": "function on_request(h) local s = 'x' while true do s = s .. s end end"], [.init("p.lua")],
            limits: PolicySettings(memoryLimit: 2 << 20))
        #expect(try bench.request().0 == .fail(.memoryLimit))
        #expect(try PolicyBench("function on_request(h) coroutine.yield() end").request().0 == .fail(.misuse))
    }

    /// What lies outside of Lua counts, too.
    @Test(arguments: [
        "moon.jwt.verifier{secret = ('k'):rep(32), algorithms = {'HS256'}, cache = 65536}",
        "moon.cidr(networks)", "moon.methods(methods)", "moon.passwords(users)",
    ])
    func objectsThatScriptsMakeCountForTheirMemory(_ made: String) throws {
        let hash = "$2b$04$abcdefghijklmnopqrstuuMTQ5M5oqYAVjJVoUOPgbqpcMPGGjQPi"
        let bench = try PolicyBench(
            [
                "p.lua": """
                local moon = require "moon"
                local networks, methods, users = {}, {}, {}
                for i = 0, 2999 do
                  networks[i + 1] = "10." .. i // 250 .. "." .. i % 250 .. ".0/24"
                  methods[i + 1] = "shop.Cart" .. i .. "/*"
                end
                for i = 0, 399 do users["user" .. i] = "\(hash)" end
                local kept = {}
                function on_request(h)
                  for i = 1, 400 do kept[i] = \(made) end
                end
                """
            ], [.init("p.lua")], limits: PolicySettings(timeLimit: .seconds(60), memoryLimit: 16 << 20))
        #expect(try bench.request().0 == .fail(.memoryLimit), "\(bench.log.all)")
    }

    @Test func contextAndDynamicMetadataReachTheResponseHook() throws {
        let bench = try PolicyBench(
            """
            function on_request(h)
              h:ctx().user = "ada"
              h:streamInfo():dynamicMetadata():set("test", "key", {1, 2, {a = true}})
            end
            function on_response(h)
              h:headers():add("x-user", h:ctx().user)
              local list = h:streamInfo():dynamicMetadata():get("test").key
              h:headers():add("x-list", #list .. tostring(list[3].a))
              for space, values in pairs(h:streamInfo():dynamicMetadata()) do h:headers():add("x-" .. space, #values.key) end
              h:headers():add("x-none", tostring(h:streamInfo():dynamicMetadata():get("none")))
            end
            """)
        for _ in 0..<3 {
            let (_, call) = try bench.request()
            call.response.add(":status", "200")
            #expect(call.run.startResponse() == .proceed, "\(bench.log.all)")
            #expect(call.response["x-user"] == "ada")
            #expect(call.response["x-list"] == "3true")
            #expect(call.response["x-test"] == "3")
            #expect(call.response["x-none"] == "nil")
            call.end()
        }
    }

    @Test func contextEndsWithTheExchange() throws {
        let bench = try PolicyBench(
            "function on_request(h) h:headers():add('x-old', tostring(h:ctx().old)) h:ctx().old = 1 end")
        for _ in 0..<40 {
            let (_, call) = try bench.request()
            #expect(call.request["x-old"] == "nil")
            call.end()
        }
    }

    @Test func keptHandlesAndHeadersAreDeadInLaterRequests() throws {
        let bench = try PolicyBench(
            """
            function on_request(h)
              if kept then
                local one, message = pcall(function() return kept:headers() end)
                local two = pcall(function() return kept_headers:get(":path") end)
                h:headers():add("x-alive", tostring(one or two))
                h:headers():add("x-why", message)
              end
              kept, kept_headers = h, h:headers()
            end
            """)
        for round in 0..<50 {
            let (_, call) = try bench.request()
            if round > 0 {
                #expect(call.request["x-alive"] == "false")
                #expect(call.request["x-why"]?.hasSuffix("object used outside of proper scope") == true)
            }
            call.end()
        }
    }

    @Test func handlesOfConcurrentExchangesDoNotReachEachOther() throws {
        let bench = try PolicyBench(
            """
            function on_request(h)
              if first then h:headers():add("x-stolen", tostring((pcall(first.headers, first)))) else first = h end
            end
            """)
        let (_, one) = try bench.request()
        let (_, two) = try bench.request()
        #expect(two.request["x-stolen"] == "false")
        one.end()
        two.end()
    }

    @Test func steadyStateAsksForNoMemory() throws {
        let bench = try PolicyBench(
            """
            function on_request(h)
              local headers = h:headers()
              if headers:get(":path") == "x" or headers:get("content-type") == "y" then h:respond({}) end
            end
            function on_response(h) if h:headers():get(":status") == "9" then error() end end
            """)
        let call = try bench.call()
        call.response.add(":status", "200")
        func once() throws {
            let run = try #require(bench.set.begin(owner: nil))
            run.subject = call.subject
            #expect(run.startRequest(try bench.chain) == .proceed)
            #expect(run.startResponse() == .proceed)
            bench.set.end(run)
        }
        for _ in 0..<200 { try once() }
        bench.engine().vm.collectGarbage()
        try once()
        let allocations = bench.engine().vm.allocationCount
        for _ in 0..<10_000 { try once() }
        #expect(bench.engine().vm.allocationCount == allocations)
        call.end()
    }
}
