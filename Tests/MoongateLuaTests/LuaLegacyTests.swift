import Testing

@testable import MoongateLua

/// Lua 5.1's library, for files with Envoy's hooks and for them only.
@Suite struct LuaLegacyTests {
    /// What the statements log in a file with an Envoy hook; errors included.
    private func legacy(_ body: String, in bench: LuaBench? = nil) throws -> String {
        let bench = try bench ?? LuaBench()
        bench.lines = []
        let source = "function envoy_on_request(box)\n\(body)\nend"
        if try bench.run(source, hook: "envoy_on_request") == .failed { return "error: " + bench.vm.lastError.message }
        return bench.lines.joined(separator: "|")
    }

    private func value(_ expression: String) throws -> String {
        try legacy(
            "local r = table.pack(\(expression)) for i = 1, r.n do r[i] = tostring(r[i]) end"
                + " host.log(table.concat(r, ' '))")
    }

    @Test(
        arguments: [
            // Numbers print without `.0`.
            ("10 / 2", "5"), ("2 ^ 31", "2147483648"), ("1e3", "1000"), ("2 ^ 53", "9.007199254741e+15"),
            ("2.5", "2.5"),
            ("tonumber('1e3') .. ''", "1000"), ("math.max(1, 2.0) .. ''", "2"), ("string.format('%s', 10 / 2)", "5"),
            ("('%s'):format(10 / 2)", "5"), ("table.concat({10 / 2, 1.5}, ',')", "5,1.5"), ("tonumber('0x10')", "16"),
            ("tonumber('ff', 16)", "255"), ("tonumber('x')", "nil"), ("math.floor(2.5) .. ''", "2"),
            ("('x'):gsub('x', 10 / 2)", "5 1"), ("('x'):gsub('x', function() return 10 / 2 end)", "5 1"),
            ("select(2, math.modf(3.5)), (math.modf(3.5))", "0.5 3"), ("math.sqrt(16) .. ''", "4"),
            ("math.abs(-2.0) .. ''", "2"), ("math.huge", "inf"), ("-0.0", "-0"),
            // Fractions are cut off.
            ("string.format('%d', 3.7)", "3"), ("('%d'):format(-3.7)", "-3"), ("string.format('%x', 255.9)", "ff"),
            ("string.format('%d', '3.7')", "3"), ("('%5.1f|%d'):format(1.25, 2.5)", "  1.2|2"),
            ("('%d%%|%d'):format(1.5, 2.5)", "1%|2"), ("('abc'):sub(1.5)", "abc"), ("('abcd'):sub(2.9, 3.9)", "bc"),
            ("('abc'):sub(1, math.huge)", "abc"), ("('ab'):rep(2.5)", "abab"), ("string.char(65.5, 66.5)", "AB"),
            ("('abc'):byte(1.5)", "97"), ("('abc'):find('c', 1.5)", "3 3"), ("('abc'):match('.', 2.5)", "b"),
            ("('aaa'):gsub('a', 'b', 1.5)", "baa 1"), ("type(math.random(1, 10.5))", "number"),
            ("os.date('!%Y', 0.5)", "1970"), ("type(os.time{year = 2020, month = 1.5, day = 1})", "number"),
            ("os.difftime(5)", "5"), ("table.concat({1, 2, 3}, ',', 1.5, 2.5)", "1,2"),
            ("unpack({1, 2, 3}, 2.5)", "2 3"), ("select(2.5, 'a', 'b')", "b"),
            ("#tostring(math.random(5.5)) > 0", "true"), ("(pcall(math.randomseed, 1.5))", "true"),
            ("math.fmod(7, 3) .. ''", "1"), ("math.pow(2, 10)", "1024"), ("math.log10(1000)", "3"),
            ("math.ldexp(1, 4.5)", "16"), ("math.frexp(8)", "0.5 4"), ("math.cosh(0)", "1"),
            // Replacements and patterns.
            ("('x'):gsub('x', '%x')", "x 1"), ("('x'):gsub('x', 'a%')", "a 1"), ("('a\\0b'):find('%z')", "2 2"),
            ("('a\\0b'):gsub('%Z', '.')", ".\0. 2"), ("('a\\0'):gmatch('%z')() == '\\0'", "true"),
            // What 5.4 has not.
            ("unpack({1, 2, 3})", "1 2 3"), ("loadstring('return 1 + 1')()", "2"), ("loadstring('= =')", nil),
            ("table.getn({1, 2})", "2"), ("table.maxn({[3] = 1, [7.5] = 2, x = 1})", "7.5"),
            ("type(gcinfo())", "number"),
            ("table.foreach({5}, function(k, v) return k + v end)", "6"), ("table.foreach({}, print)", nil),
            ("table.foreachi({4, 5}, function(i, v) if i == 2 then return v end end)", "5"),
            ("table.remove({1, 2}, 5)", nil), ("table.remove({1, 2})", "2"), ("table.remove({})", "nil"),
            ("jit.status()", "false"), ("type(jit.version)", "string"), ("require('jit') == jit", "true"),
            ("rawlen({1})", "1"), ("#table.pack(1, 2)", "2"), ("require('bit') == bit", "true"),
        ] as [(String, String?)])
    func libraryIsOfLua51(expression: String, expected: String?) throws {
        let printed = try value(expression)
        if let expected { #expect(printed == expected) } else { #expect(!printed.hasPrefix("error"), "\(printed)") }
    }

    @Test(arguments: [
        ("bnot(0)", "-1"), ("lshift(1, 31)", "-2147483648"), ("tobit(0xffffffff)", "-1"), ("tobit(2 ^ 40 + 1)", "1"),
        ("tohex(255)", "000000ff"), ("tohex(-1, -4)", "FFFF"), ("tohex(255, 2.0)", "ff"), ("band(0xff, 0x0f, 3)", "3"),
        ("bor(1, 2, 4)", "7"), ("bxor(0xa5a5f0f0, 0xaa55ff00)", "267390960"), ("rshift(-256, 8)", "16777215"),
        ("arshift(-256, 8)", "-1"), ("arshift(256, 8)", "1"), ("rol(0x12345678, 12)", "1164411171"),
        ("ror(0x12345678, 12)", "1736516421"), ("bswap(0x12345678)", "2018915346"), ("band('7', 3)", "3"),
        ("lshift(1, 33)", "2"), ("tobit(1.5)", "2"), ("tobit(-1.0)", "-1"), ("rol(1, 0)", "1"),
    ])
    func bitsAreSigned32(expression: String, expected: String) throws {
        #expect(try value("bit." + expression) == expected)
    }

    @Test func tablesTakeInsertionsPastTheirEnd() throws {
        #expect(try value("(function() local t = {1} table.insert(t, 5, 9) return t[5] end)()") == "9")
        #expect(try value("(function() local t = {1} table.insert(t, 1.5, 9) return t[1], t[2] end)()") == "9 1")
    }

    @Test func environmentsCanBeSet() throws {
        #expect(try legacy("x = 1 local f = function() return x end setfenv(f, {x = 2}) host.log(f() + x)") == "3")
        #expect(try legacy("host.log(tostring(getfenv() == _G)) host.log(tostring(getfenv(0) == _G))") == "true|true")
        #expect(try legacy("local log = host.log setfenv(1, {v = 5}) log(v)") == "5")
        #expect(try legacy("host.log(getfenv(setfenv(function() return y end, {y = 3})).y)") == "3")
        #expect(try legacy("setfenv(0, {})").contains("only functions that run"))
        #expect(try legacy("host.log(tostring(getfenv(print) == _G))") == "true")
    }

    @Test func otherFilesEnvironmentsAreClosed() throws {
        let bench = try LuaBench()
        #expect(
            try legacy("getfenv(require('shared').get)", in: bench).hasSuffix("the function belongs to another file"))
        #expect(
            try legacy("setfenv(require('shared').get, {})", in: bench).hasSuffix(
                "the function belongs to another file"))
    }

    @Test(
        arguments: [
            ("newproxy()", "newproxy is not provided: use setmetatable with a table"),
            ("module('x')", "module is not provided: return a table from the file"),
            ("require 'ffi'", "module 'ffi' is closed in policies: it reaches outside the script engine"),
            ("error('x')", "x"), ("loadstring('error(\"y\", 1)', '=mine')()", nil),
            ("debug.sethook()", "debug is closed in policies"),
        ] as [(String, String?)])
    func errorsAreClear(call: String, message: String?) throws {
        #expect(try legacy(call) == "error: " + (message.map { "test.lua:2: " + $0 } ?? "mine:1: y"))
    }

    @Test(arguments: [
        ("unpack({})", "attempt to call a nil value (global 'unpack'); unpack is Lua 5.1's; use table.unpack"),
        ("table.getn({})", "attempt to call a nil value (field 'getn'); table.getn is Lua 5.1's; use #"),
        ("math.pow(2, 3)", "attempt to call a nil value (field 'pow'); math.pow is Lua 5.1's; use x ^ y"),
        (
            "bit.band(1, 2)",
            "attempt to index a nil value (global 'bit'); bit is LuaJIT's; use the operators & | ~ << >>"
        ),
        (
            "string.format('%d', 3.7)",
            "bad argument #2 to 'format' (number has no integer representation);"
                + " Lua 5.4 does not cut off fractions; use math.floor or //"
        ),
        ("('x'):gsub('x', '%x')", "invalid use of '%' in replacement string"),
        ("table.insert({}, 5, 1)", "bad argument #2 to 'insert' (position out of bounds)"),
    ])
    func nativeFilesArePlain54AndGetHints(call: String, message: String) throws {
        #expect(try LuaBench().evaluate(call) == "error: test.lua:2: " + message)
    }

    @Test func nativeNumbersAreThoseOf54() throws {
        let bench = try LuaBench()
        #expect(try bench.evaluate("host.log(tostring(10 / 2)) host.log(('%s'):format(1e3))") == "5.0|1000.0")
        #expect(try bench.evaluate("host.log(table.concat({10 / 2})) host.log(tostring(bit))") == "5.0|nil")
    }

    /// Methods of texts are shared by all files of a VM, so they have to tell callers apart.
    @Test func dialectsLiveSideBySide() throws {
        let bench = try LuaBench()
        #expect(try legacy("host.log(('ab'):rep(2.5))", in: bench) == "abab")
        #expect(try bench.evaluate("host.log(('ab'):rep(2.5))").hasPrefix("error"))
        #expect(try legacy("return host.log(('ab'):rep(2.5))", in: bench) == "abab")
        #expect(try legacy("pcall(function() return host.log(('ab'):sub(1.5)) end)", in: bench) == "ab")
        #expect(try legacy("local function f() return ('ab'):rep(2.5) end host.log(f())", in: bench) == "abab")
        #expect(try bench.evaluate("host.log(load(\"return pcall(string.rep, 'x', 1.5)\", '=x')() and 1 or 0)") == "0")
    }

    @Test func modulesSpeakTheDialectOfTheirReader() throws {
        let bench = try LuaBench()
        #expect(try legacy("host.log(require('shared').dialect())", in: bench) == "5")
        #expect(try bench.evaluate("host.log(require('shared').dialect())") == "5.0")
    }

    @Test(arguments: [
        ("function envoy_on_request() end", true), ("envoy_on_response = function() end", true),
        ("_G.envoy_on_request = print", true), ("local x = 1 function envoy_on_request() end", true),
        ("-- function envoy_on_request() end", false), ("--[[ envoy_on_request ]]", false),
        ("--[==[ ]] envoy_on_request ]==]", false), ("local s = 'envoy_on_request'", false),
        ("local s = \"\\\"envoy_on_request\"", false), ("local s = [[envoy_on_request]]", false),
        ("local t = {} t.envoy_on_request = print", false), ("function on_request() end", false),
        ("envoy_on_requests = 1", false), ("--[[ x ]] function envoy_on_response() end", true),
        ("local t = {} t[1] = 2 function envoy_on_request() end", true),
        ("t = {} t._G = {} t._G.envoy_on_request = 1", false),
    ])
    func theHooksTellTheDialect(source: String, isLegacy: Bool) throws {
        let bench = try LuaBench()
        let file = try bench.vm.load(
            Array((source + "\nfunction hook() host.log(tostring(unpack ~= nil)) end").utf8), name: "t.lua")
        let hook = try #require(try bench.vm.function("hook", in: file))
        bench.call(hook)
        #expect(bench.lines == ["\(isLegacy)"])
    }

    @Test func namesOfOldFilesAreShownLikeOthers() throws {
        let bench = try LuaBench()
        #expect(try legacy("error('x')", in: bench) == "error: test.lua:2: x")
        let long = String(repeating: "d/", count: 60) + "end.lua"
        #expect(throws: LuaError.self) {
            try bench.vm.load(Array("function envoy_on_request() end error('x')".utf8), name: long)
        }
        #expect(bench.vm.lastError.message.hasSuffix("d/end.lua:1: x"))
    }
}
