import MoongateConfig
import Testing

@testable import Moongate

/// `moon.dict`, `moon.limit`, `moon.concurrency`, `moon.metrics` and `stats()` as scripts see them.
@Suite struct StateBindingTests {
    /// Runs Lua in a request hook; what it returns stands in `x-result`.
    private func result(_ body: String, before: String = "", rounds: Int = 1) throws -> String? {
        let bench = try PolicyBench(text(body, before: before))
        var last: String?
        for _ in 0..<rounds {
            let (verdict, call) = try bench.request()
            #expect(verdict == .proceed, "\(bench.log.all)")
            last = call.request["x-result"]
            call.end()
        }
        return last
    }

    private func text(_ body: String, before: String) -> String {
        """
        local moon = require "moon"
        \(before)
        local function body(h) \(body) end
        function on_request(h)
          local all = table.pack(body(h))
          for index = 1, all.n do all[index] = tostring(all[index]) end
          h:headers():add("x-result", table.concat(all, " "))
        end
        """
    }

    /// What loading the script complains about.
    private func unhealthyReason(_ script: String) -> String {
        do {
            _ = try PolicyBench("local moon = require 'moon'\n" + script)
            return ""
        } catch {
            return "\(error)"
        }
    }

    // MARK: Dicts

    @Test func everyKindOfValueComesBack() throws {
        let seen = try result(
            """
            d:set("text", "a\\0b") d:set("integer", 7) d:set("number", 1.5) d:set("no", false)
            d:set("table", {1, 2, {x = "y", [true] = 2.5}}) d:set("empty", {})
            local t = d:get("table")
            t[1] = 9
            return #d:get("text"), math.type(d:get("integer")), d:get("number"), d:get("no"), d:get("table")[1], t[3].x,
              t[3][true], next(d:get("empty")), d:get("none"), d:count()
            """, before: "local d = moon.dict('d')")
        #expect(seen == "3 integer 1.5 false 1 y 2.5 nil nil 6")
    }

    @Test func methodsSayWhatTheyDid() throws {
        let seen = try result(
            """
            return d:add("a", 1), d:add("a", 2), d:replace("a", 3), d:replace("b", 1), d:get("a"), d:delete("a"),
              d:delete("a"), d:set("a", 1), d:set("a", nil), d:get("a"), d:expire("a", 5), d:ttl("a"),
              d:set("l", 1, 100), d:ttl("l") > 99, d:set("e", 1), d:ttl("e"), d:expire("l", 0), d:ttl("l")
            """, before: "local d = moon.dict('d')")
        #expect(
            seen == "true false true false 3 true false true true nil false nil true true true 0.0 true 0.0")
    }

    @Test func countersKeepTheirType() throws {
        let seen = try result(
            """
            local last = d:incr("n")
            return last, math.type(last), d:incr("f", 0.5, 1), d:incr("start", 1, 10), d:incr("n", -3),
              pcall(d.incr, d, "text")
            """, before: "local d = moon.dict('d') d:set('text', 'x')")
        #expect(seen == "1 integer 1.5 11 -2 false the value of the key is no number")
    }

    @Test func keysAreListedAndFlushed() throws {
        let seen = try result(
            """
            for index = 1, 5 do d:set("k" .. index, index) end
            local all = d:keys() table.sort(all)
            local two = #d:keys(2)
            d:flush()
            return table.concat(all, ","), two, #d:keys(), d:count()
            """, before: "local d = moon.dict('d')")
        #expect(seen == "k1,k2,k3,k4,k5 2 0 0")
    }

    @Test(arguments: [
        ("d:set('a', print)", "a dict keeps texts, numbers, booleans and tables of them"),
        ("d:set('a', {f = print})", "a dict keeps texts, numbers, booleans and tables of them"),
        ("d:set('a', 1, -1)", "a ttl is a number of seconds, not negative"),
        ("d:set('a', 1, 0/0)", "a ttl is a number of seconds, not negative"),
        ("d:set(('x'):rep(65536), 1)", "the key is longer than 65535 bytes"),
        ("d:incr('a', 'x')", "incr adds numbers"),
        ("moon.dict('new')", "hooks find dicts that were made while the policies loaded"),
        ("moon.dict('d', {max = 5})", "hooks find dicts that were made while the policies loaded"),
    ])
    func misuseIsAScriptError(call: String, message: String) throws {
        let seen = try #require(
            try result("return pcall(function() \(call) end)", before: "local d = moon.dict('d')"))
        #expect(seen.hasPrefix("false") && seen.contains(message), "\(seen)")
    }

    @Test(arguments: [
        ("moon.dict('a b')", "moon.dict: a name has letters"),
        ("moon.dict('a', {max = 0})", "max must be a whole number from 1 to 10000000"),
        ("moon.dict('a', {bytes = 'x'})", "bytes must be a whole number"),
        ("moon.dict('a', {ttl = -1})", "ttl must be a number of seconds"),
        ("moon.dict('a', {size = 1})", "unknown option (known: bytes, max, ttl)"),
        ("moon.dict('a', {max = 5}) moon.dict('a', {max = 6})", "the dict 'a' has other limits in etc/p.lua"),
        ("moon.limit{rate = 0}", "rate must be a number above 0"),
        ("moon.limit{burst = 5}", "rate must be a number above 0"),
        ("moon.limit{rate = 5, burst = 0.5}", "burst must be at least 1"),
        ("moon.limit{rate = 5, size = 1}", "unknown option (known: burst, cost, dict, key, keys, name, rate)"),
        ("moon.limit{rate = 5, cost = 2}", "cost is for limits with a key"),
        ("moon.limit{rate = 5, keys = 0}", "keys must be a whole number from 1 to 10000000"),
        ("moon.limit{rate = 5, keys = 5, dict = 'd'}", "keys is for limits without a dict"),
        ("moon.concurrency{}", "max is missing"),
        ("moon.concurrency{max = 1}:take('x')", "a concurrency limit is for hooks"),
        ("moon.metrics.counter('9x')", "argument 1 is no name of a metric"),
        ("moon.metrics.counter('moongate_x')", "names that begin with moongate_ are the edge's own"),
        ("moon.metrics.counter('x', 'h', {'a-b'})", "label 1 is no name of a label"),
        ("moon.metrics.counter('x', 'h', {'a', 'a'})", "label 2 occurs twice"),
        ("moon.metrics.counter('x') moon.metrics.gauge('x')", "the metric 'x' is a counter already"),
        ("moon.metrics.counter('x', 'h', {'a'}) moon.metrics.counter('x')", "is a counter with the labels a already"),
        ("moon.metrics.histogram('x') moon.metrics.counter('x_count')", "share the series 'x_count'"),
        ("moon.metrics.histogram('x', {buckets = {2, 1}})", "buckets must be numbers that ascend"),
        ("moon.metrics.counter('x', {buckets = {1}})", "unknown option (known: help, labels)"),
    ])
    func mistakesRefuseTheConfiguration(script: String, message: String) {
        #expect(unhealthyReason(script).contains(message), "\(unhealthyReason(script))")
    }

    @Test func policiesShareADictAndItsLimitsMustAgree() throws {
        let files = { (second: String) in
            [
                "a.lua": "local d = require('moon').dict('d', {max = 5}) function on_request(h) d:set('who', 'a') end",
                "b.lua": """
                local d = require('moon').dict(\(second))
                function on_request(h) h:headers():add('x-who', d:get('who')) end
                """,
            ]
        }
        let bench = try PolicyBench(files("'d'"), [.init("a.lua"), .init("b.lua")])
        let (_, call) = try bench.request()
        #expect(call.request["x-who"] == "a")
        call.end()
        #expect(throws: DiagnosticList.self) {
            try PolicyBench(files("'d', {max = 6}"), [.init("a.lua"), .init("b.lua")])
        }
    }

    // MARK: Limits

    @Test func aLimitAnswersWithTimeAndRest() throws {
        let body = """
            local ok, after, left = limit:take("key")
            local again, wait, rest = limit:take("key")
            local other = limit:take("other")
            local never, huge = limit:take("key", 3)
            return ok, after, left, again, wait > 0.9 and wait <= 1, rest, other, never, huge == math.huge
            """
        #expect(
            try result(body, before: "local limit = moon.limit{rate = 1, burst = 1}")
                == "true 0.0 0 false true 0 true false true")
    }

    @Test func theDirectFormTakesAtOnce() throws {
        let body = """
            local ok, after, left = moon.limit{key = "a", rate = 0.001, burst = 2}
            local second = moon.limit{key = "a", rate = 0.001, burst = 2}
            local third = moon.limit{key = "a", rate = 0.001, burst = 2}
            local costly = moon.limit{key = "b", rate = 0.001, burst = 2, cost = 2}
            return ok, left, second, third, costly, pcall(moon.limit, {key = "a", rate = 1, dict = "none"})
            """
        let seen = try #require(try result(body))
        #expect(seen.hasPrefix("true 1 true false true false "))
        #expect(seen.hasSuffix("moon.limit: dict names no dict: make it with moon.dict while the policy loads"))
    }

    @Test func slotsEndWithTheRequest() throws {
        let bench = try PolicyBench(
            text("return limit:take('k')", before: "local limit = moon.concurrency{max = 2}"))
        let (_, one) = try bench.request()
        let (_, two) = try bench.request()
        let (_, three) = try bench.request()
        #expect([one, two, three].map { $0.request["x-result"] } == ["true 0.0 1", "true 0.0 0", "false 0.0 0"])
        one.end()
        let (_, four) = try bench.request()
        #expect(four.request["x-result"] == "true 0.0 0")
        for call in [two, three, four] { call.end() }
    }

    /// A flood of keys in one policy takes nothing from another's limit, nor a dict's entries from its limits.
    @Test func filesCountApart() throws {
        let files = [
            "flood.lua": """
            local moon = require "moon"
            local limit = moon.limit{rate = 0.001, burst = 1, name = "same", keys = 1000}
            function on_request(h) for i = 1, 3000 do limit:take("k" .. i) end end
            """,
            "login.lua": """
            local moon = require "moon"
            local limit = moon.limit{rate = 0.001, burst = 1, name = "same", keys = 1000}
            function on_request(h) h:headers():add("x-login", tostring((limit:take("k1")))) end
            """,
            "dict.lua": """
            local moon = require "moon"
            local dict = moon.dict("d", {max = 100})
            local limit = moon.limit{rate = 0.001, burst = 1, dict = "d"}
            function on_request(h)
              local first = limit:take("k")
              for i = 1, 300 do dict:set("k" .. i, i) end
              h:headers():add("x-dict", tostring(first) .. tostring((limit:take("k"))))
            end
            """,
        ]
        let bench = try PolicyBench(files, [.init("flood.lua"), .init("login.lua"), .init("dict.lua")])
        for login in ["true", "false"] {
            let (_, call) = try bench.request()
            #expect(call.request["x-login"] == login)
            #expect(call.request["x-dict"] == (login == "true" ? "truefalse" : "falsefalse"))
            call.end()
        }
    }

    @Test func aRequestHoldsSoManySlots() throws {
        let body = """
            for i = 1, 256 do assert(limit:take("k" .. i)) end
            return pcall(limit.take, limit, "one more")
            """
        let seen = try #require(try result(body, before: "local limit = moon.concurrency{max = 2}"))
        #expect(seen.hasPrefix("false") && seen.contains("the request holds 256 slots already"), "\(seen)")
    }

    // MARK: Metrics

    private func exposition(_ bench: PolicyBench) -> String {
        String(decoding: bench.registry.exposition(), as: UTF8.self)
    }

    @Test func countersGaugesAndHistogramsAreShown() throws {
        let bench = try PolicyBench(
            text(
                """
                hits:inc() hits:add(2.5) plans:inc(2, {plan = "pro", trial = true}) plans:inc(1, {trial = true, plan = "pro"})
                plans:inc(nil, {plan = "x\\"y", trial = 5}) size:set(5) size:dec() size:sub(0.5) size:inc(3)
                time:observe(0.0625) time:observe(7) time:observe(0.0625)
                return hits:value(), plans:value({plan = "pro", trial = true}), size:value()
                """,
                before: """
                    local hits = moon.metrics.counter("hits_total", "Hits.")
                    local plans = moon.metrics.counter("plans_total", "By plan.", {"plan", "trial"})
                    local size = moon.metrics.gauge("size", {help = "Size."})
                    local time = moon.metrics.histogram("time", {help = "Time.", buckets = {0.1, 1}})
                    """))
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed, "\(bench.log.all)")
        #expect(call.request["x-result"] == "3.5 3 6.5")
        call.end()
        let shown = exposition(bench)
        for line in [
            "# HELP hits_total Hits.", "# TYPE hits_total counter", "hits_total 3.5",
            #"plans_total{plan="pro",trial="true"} 3"#, #"plans_total{plan="x\"y",trial="5"} 1"#, "size 6.5",
            "# TYPE time histogram", #"time_bucket{le="0.1"} 2"#, #"time_bucket{le="1"} 2"#,
            #"time_bucket{le="+Inf"} 3"#, "time_sum 7.125", "time_count 3",
        ] {
            #expect(shown.contains(line + "\n"), "\(line)")
        }
    }

    @Test(arguments: [
        ("c:inc(-1, {a = 1})", "counter inc amount must be non-negative"),
        ("c:inc(0/0, {a = 1})", "counter inc amount must be a finite number"),
        ("c:inc()", "the metric 'c' needs the labels a"), ("c:inc(1, {b = 1})", "the metric 'c' needs the labels a"),
        ("c:inc(1, {a = 1, b = 1})", "the metric 'c' needs the labels a"),
        ("c:inc(1, {a = {1}})", "the metric 'c' needs the labels a"),
        ("g:set(1, {a = 1})", "the metric 'g' has no labels"),
        ("moon.metrics.counter('d')", "metrics are made while the policies load"),
    ])
    func countingWrongIsAScriptError(call: String, message: String) throws {
        let seen = try #require(
            try result(
                "return pcall(function() \(call) end)",
                before: "local c = moon.metrics.counter('c', '', {'a'}) local g = moon.metrics.gauge('g')"))
        #expect(seen.hasPrefix("false") && seen.contains(message), "\(seen)")
    }

    @Test func labelsBeyondTheLimitShareASeries() throws {
        let script = """
            local c = require("moon").metrics.counter("c", "", {"user"})
            function on_request(h) for index = 1, 10 do c:inc(1, {user = "u" .. index}) end end
            """
        let bench = try PolicyBench(
            ["p.lua": script], [.init("p.lua")], limits: PolicySettings(timeLimit: .seconds(5), metricSeries: 3))
        for _ in 0..<2 { try bench.request().1.end() }
        let shown = exposition(bench)
        #expect(shown.contains("c{user=\"u3\"} 2\n") && !shown.contains("u4"))
        #expect(shown.contains("c{user=\"_overflow\"} 14\n"))
        #expect(bench.log.all.filter { $0.contains("metric c has 3 series") }.count == 1)
    }

    /// C91, with Envoy 1.40's own error texts.
    @Test func envoysStatsCount() throws {
        let bench = try PolicyBench(
            text(
                """
                local s = h:stats()
                local c, g, t = s:counter("a.b-c"), s:gauge("g"), s:histogram("t", "ms")
                c:inc() c:add(5)
                g:set(100) g:inc() g:add(10) g:dec() g:sub(5)
                t:recordValue(30)
                s:counter("f"):add(1.5)
                return s:counter("a.b-c"):value(), g:value(), s:counter("f"):value(), s == h:stats()
                """, before: ""))
        let (verdict, call) = try bench.request()
        #expect(verdict == .proceed, "\(bench.log.all)")
        #expect(call.request["x-result"] == "6 105 1 true")
        call.end()
        let shown = exposition(bench)
        #expect(shown.contains("# TYPE lua_a_b_c counter\nlua_a_b_c 6\n"))
        #expect(shown.contains("lua_t_bucket{le=\"50\"} 1\n"))
    }

    /// One policy's names that callers choose take none from another policy.
    @Test func eachFileMayNameSoManyStats() throws {
        let count = { (names: Int) in
            "function on_request(h) for i = 1, \(names) do h:stats():counter(h:config().prefix .. i):inc() end end"
        }
        let bench = try PolicyBench(
            ["a.lua": count(10), "b.lua": count(2)],
            [
                .init("a.lua", settings: .table([.init(key: "prefix", value: .string("a"))])),
                .init("b.lua", settings: .table([.init(key: "prefix", value: .string("b"))])),
            ], limits: PolicySettings(timeLimit: .seconds(5), metricSeries: 3))
        try bench.request().1.end()
        let shown = exposition(bench)
        #expect(shown.contains("lua_a3 1\n") && !shown.contains("lua_a4"))
        #expect(shown.contains("lua_b2 1\n") && shown.contains("lua_overflow_counter 7\n"))
    }

    @Test(arguments: [
        ("s:counter('a'):add(-1)", "counter add amount must be non-negative"),
        ("s:gauge('a'):add(-1)", "gauge add amount must be non-negative"),
        ("s:gauge('a'):set(-5)", "gauge set value must be non-negative"),
        ("s:histogram('a'):recordValue(-5)", "histogram value must be non-negative"),
        (
            "s:histogram('a', 'years')",
            "invalid histogram unit, expected 'ms', 'milliseconds', 'microseconds', 'nanoseconds', 'bytes', "
                + "or 'unspecified'"
        ),
        ("s:counter('a') s:gauge('a')", "the metric 'lua_a' is a counter already"),
    ])
    func envoysStatsComplain(call: String, message: String) throws {
        let seen = try #require(try result("local s = h:stats() return pcall(function() \(call) end)"))
        #expect(seen.hasPrefix("false") && seen.contains(message), "\(seen)")
    }

    @Test func namesOfStatsAreBounded() throws {
        let bench = try PolicyBench(
            ["p.lua": "function on_request(h) for i = 1, 20 do h:stats():counter('c' .. i):inc() end end"],
            [.init("p.lua")], limits: PolicySettings(timeLimit: .seconds(5), metricSeries: 4))
        try bench.request().1.end()
        #expect(exposition(bench).contains("lua_overflow_counter 16\n"))
    }
}
