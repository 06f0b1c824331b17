import CMoongate
import Glibc
import Testing

@testable import MoongateLua

/// Ways to pass a time limit by: each of them would run for minutes if only instructions were counted.
@Suite(.disabled(if: mg_guard_is_held_back(), "ThreadSanitizer holds signals back")) struct LuaOverrunTests {
    /// CPU time of this thread in milliseconds.
    private static func time() -> Double {
        var now = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
        return Double(now.tv_sec) * 1000 + Double(now.tv_nsec) / 1e6
    }

    /// Far above what any build needs for it, and far below what the script would take.
    private static let most = 2000.0

    private func expectLeft(_ body: String, heading: String = "") throws {
        let bench = try LuaBench(memory: 48 << 20, milliseconds: 20)
        let begin = LuaOverrunTests.time()
        let outcome = try bench.run("\(heading)\nfunction hook(box)\n\(LuaOverrunTests.prelude)\n\(body)\nend")
        let spent = LuaOverrunTests.time() - begin
        #expect(outcome == .failed, "\(body)")
        #expect(bench.vm.lastError.reason == .time, "\(body): \(bench.vm.lastError)")
        #expect(spent < LuaOverrunTests.most, "\(body): \(spent) ms")
        #expect(try bench.evaluate("host.log('alive')") == "alive", "\(body)")
    }

    /// `slow` is written in C and takes some milliseconds; nothing that calls it runs an instruction.
    private static let prelude = """
        local big = {} for i = 1, 4000 do big[i] = i end
        local slow, text = host.echo, ("x"):rep(1 << 20)
        local indexed = setmetatable({}, {__index = tostring, __newindex = rawequal, __len = function() return 999999 end})
        """

    static let ways = [
        // Metamethods that are C functions, below loops in C.
        "table.concat(indexed, ',', 1, 1e6)",
        "pcall(table.concat, indexed, ',', 5000, 1e6) while true do pcall(table.concat, indexed, ',', 5000, 1e6) end",
        "table.move(indexed, 5000, 1e6, 1, {}) table.move(indexed, 5000, 1e6, 1, {})",
        "table.move({}, 1, 1e6, 5000, indexed) table.move({}, 1, 1e6, 5000, indexed)",
        "table.unpack(indexed, 5000, 9e5)",
        "while true do pcall(table.insert, indexed, 1, 'x') end",
        "while true do pcall(table.remove, indexed, 1) end",
        "string.gsub(text, '.', setmetatable({}, {__index = function(_, k) return slow(big) and k end}))",
        "while true do string.gsub(text, '()', indexed) end",
        "string.gsub(text, '.', string.reverse) while true do string.gsub(text, '.', string.reverse) end",
        "while true do pcall(string.gsub, text, '()', indexed) end",
        "for i = 1, 1e9 do pcall(string.format, '%s', setmetatable({}, {__tostring = slow, __name = 1})) end",
        "while true do print(setmetatable({}, {__tostring = function() slow(big) return 'x' end})) end",
        "while true do pcall(table.sort, big, rawequal) pcall(table.sort, big, slow) end",
        "while true do table.sort(big, function(a, b) return slow(big) == nil end) end",
        // Errors that are caught where the guard raised one.
        "while true do pcall(slow, indexed) end",
        "while true do xpcall(slow, slow, big) end",
        "while true do xpcall(table.sort, function() while true do slow(big) end end, {3, 2, 1}, slow) end",
        "local function f() pcall(slow, big) return f() end f()",
        "while true do select(2, pcall(error, slow(big))) end",
        "local function f(n) if n > 0 then return pcall(f, n - 1) end while true do slow(big) end end while true do f(150) end",
        // Coroutines, which have hooks of their own.
        "while true do coroutine.wrap(slow)(big) end",
        "while true do local c = coroutine.create(slow) coroutine.resume(c, big) coroutine.close(c) end",
        "local t = setmetatable({}, {__index = coroutine.wrap(function() while true do slow(big) coroutine.yield('x') end end)}) while true do table.concat(t, ',', 1, 1e6) end",
        "coroutine.wrap(function() while true do pcall(coroutine.wrap(function() while true do slow(big) end end)) end end)() ",
        "while true do pcall(table.sort, big, coroutine.wrap(function() while true do slow(big) coroutine.yield(true) end end)) end",
        "local function f(n) local c = coroutine.wrap(n > 0 and f or slow) while true do c(n > 0 and n - 1 or big) c = coroutine.wrap(slow) end end f(20)",
        // Handlers that run while an error unwinds.
        "local m = {__close = function() while true do slow(big) end end} table.sort({3, 2, 1}, function() pcall(function() local a <close>, b = setmetatable({}, m) local c <close> = setmetatable({}, m) error 'x' end) end)",
        "local m = {__close = slow} local function f(n) local a <close> = setmetatable({}, m) if n == 0 then while true do end end f(n - 1) end table.sort({3, 2, 1}, function() pcall(f, 5000) end)",
        "local c = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() while true do slow(big) end end}) coroutine.yield() end) coroutine.resume(c) pcall(coroutine.close, c)",
        "for _ in (function() end), nil, nil, setmetatable({}, {__close = function() while true do slow(big) end end}) do end",
        // Operators.
        "local t = setmetatable({}, {__lt = slow, __le = slow, __eq = slow, __concat = slow}) while true do pcall(function() return t .. t, t < t end) end",
        "table.sort({indexed, {}, {}}, function(a, b) while true do pcall(next, a, slow(big)) end end)",
        // Texts that are compiled.
        "load(function() slow(big) return ' ' end) while true do load(function() slow(big) return nil end) end",
        "while true do load(slow) end", "while true do load(('x=x '):rep(16000)) end",
        "while true do pcall(require, ('x'):rep(1000)) end",
        // Single calls without a callback.
        "local t = {} for i = 1, 2^17 do t[i] = i end for i = 1, 2^17 do t[i] = nil end local u = {} for i = 1, 1e5 do u[i] = t end while true do slow(u) end",
        "local t = {} for i = 1, 200 do t['k' .. i * 1000] = i end local u = {} for i = 1, 2000 do u[i] = t end while true do pcall(slow, u) end",
        "while true do (text):upper() end", "while true do (text):find('x', 1, true); (text):find('y', 1, true) end",
        "while true do pcall(utf8.len, text) end", "while true do string.pack((' '):rep(65536)) end",
        "while true do (text):gsub('', '') end", "while true do print(table.unpack(big, 1, 4000)) end",
        "goto a ::b:: slow(big) ::a:: goto b",
        "repeat slow(big) until false", "while true do next(big) select('#', slow(big)) end",
        "for i = 1, math.huge do math.random(0) os.time() os.clock() end",
        "while true do tostring(indexed) tonumber(text, 36) rawequal(big, indexed) rawlen(big) end",
    ]

    @Test(arguments: ways) func theScriptIsLeft(body: String) throws { try expectLeft(body) }

    @Test(arguments: [
        "while true do table.foreach(big, slow) table.foreachi(big, slow) end",
        "while true do loadstring('return 1') setfenv(function() end, {}) getfenv(1) end",
        "while true do bit.band(1, 2) bit.tohex(1) end", "while true do table.maxn(big) table.getn(big) end",
        "while true do math.max(unpack(big, 1, 4000)) string.char(65.5, 66) end",
        "table.foreach({1}, function() while true do pcall(table.foreach, big, slow) end end)",
    ])
    func theScriptIsLeftInTheOldDialect(body: String) throws {
        try expectLeft(body, heading: "function envoy_on_request() end")
    }

    /// Inputs on which a call that asks nobody would take longer than a time limit allows.
    @Test(arguments: [
        "(' '):rep(1e6):format()",
        "local t = {} for i = 1, 1e4 do t[i] = 1e308 end string.format(('%.99f'):rep(1e4), table.unpack(t))",
        "string.format('%q', ('\\1'):rep(1 << 20))",
        "string.pack(('x'):rep(1 << 20))", "string.packsize((' '):rep(1 << 20))",
        "string.pack('c99999999', '')", "utf8.len(('x'):rep(1 << 20) .. 'x')", "('x'):find(('x'):rep(1 << 20) .. 'x')",
        "utf8.offset(('x'):rep(1 << 20) .. 'x', 5)", "utf8.codepoint(('x'):rep(1 << 20) .. 'x', 1)",
    ])
    func whatIsTooLongIsRefused(body: String) throws {
        let bench = try LuaBench(memory: 48 << 20, milliseconds: 10_000)
        let begin = LuaOverrunTests.time()
        let isPlain = body.hasPrefix("(' ')")
        #expect(try bench.run("function hook(box)\n\(body)\nend") == (isPlain ? .finished : .failed), "\(body)")
        #expect(LuaOverrunTests.time() - begin < 500, "\(body)")
    }

    @Test func libraryFunctionsDoWhatTheyDid() throws {
        let bench = try LuaBench()
        func check(_ expression: String, _ expected: String) throws {
            #expect(try bench.evaluate("host.log(tostring(\(expression)))") == expected, "\(expression)")
        }
        try check("table.concat(table.move({1, 2, 3}, 1, 3, 2))", "1123")
        try check("table.concat(table.move({1, 2, 3}, 2, 3, 1))", "233")
        try check("table.concat(table.move({1, 2, 3}, 1, 3, 3, {9, 9}))", "99123")
        try check("#table.move({1, 2, 3}, 1, 0, 3, {9, 9})", "2")
        try check("pcall(table.move, {}, 1, 2, math.maxinteger)", "false")
        try check("select('#', table.unpack({1, nil, 3}, 1, 3))", "3")
        try check("select('#', table.unpack({}, 1, 0))", "0")
        try check("table.unpack({7}, math.maxinteger, math.maxinteger)", "nil")
        try check("('aBc'):upper() .. ('aBc'):lower() .. ('aBc'):reverse() .. (''):reverse()", "ABCabccBa")
        try check("('ab'):rep(3, '--') .. ('x'):rep(1, 'y') .. ('abc'):rep(2)", "ab--ab--abxabcabc")
        try check("#('a'):rep(200000):upper() .. ('a'):rep(200000, 'b'):sub(-3)", "200000aba")
        try check("('x'):rep(3 << 20 >> 2):find('x', 500000, true)", "500000")
        try check("string.unpack('>I2', string.pack('>I2', 515))", "515")
        try check("string.packsize('c10i4')", "14")
        try check("utf8.len('äöü') .. utf8.codepoint('ä') .. utf8.offset('äöü', 3)", "32285")
        try check("tonumber('0x10') + tonumber('z', 36)", "51")
        try check("('%5.1f|%q'):format(1.25, 'a')", "  1.2|\"a\"")
    }

    @Test func aRunThatFollowsAnOverrunIsWhole() throws {
        let bench = try LuaBench(memory: 48 << 20, milliseconds: 20)
        let kept = try bench.hook(
            """
            local c
            function hook()
              if c then return host.log(tostring(coroutine.resume(c))) end
              c = coroutine.create(function() while true do pcall(host.echo, {}) end end)
              coroutine.resume(c)
            end
            """)
        #expect(bench.call(kept) == .failed)
        #expect(bench.vm.lastError.reason == .time)
        // The coroutine that kept the hook is left a second time.
        #expect(bench.call(kept) == .failed || bench.lines == ["false"])
        for _ in 0..<20 { #expect(try bench.evaluate("host.log('alive')") == "alive") }
    }
}
