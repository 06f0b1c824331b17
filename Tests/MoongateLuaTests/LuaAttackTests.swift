import CMoongate
import Testing

@testable import MoongateLua

/// Each attack ends within its limits with an error, and the VM goes on.
@Suite(.disabled(if: mg_guard_is_held_back(), "ThreadSanitizer holds signals back")) struct LuaAttackTests {
    /// Runs `body` as a hook in a file with `heading`.
    private func attack(_ body: String, heading: String = "") throws -> (LuaOutcome, LuaError) {
        let bench = try LuaBench(memory: 8 << 20, milliseconds: 50)
        let source = "\(heading)\nfunction hook(box)\n\(body)\nend"
        let file = try bench.vm.load(Array(source.utf8), name: "attack.lua")
        let outcome = bench.call(try #require(try bench.vm.function("hook", in: file)))
        let error = bench.vm.lastError
        #expect(try bench.evaluate("host.log('alive')") == "alive")
        return (outcome, error)
    }

    /// In C no hook strikes: these end by the checks of our own.
    @Test(arguments: [
        // A `__len` that lies, or another one each time.
        "local n = 0 local t = setmetatable({}, {__len = function() n = n + 1 return n == 1 and 1 or 1 << 50 end}) table.insert(t, 1, 'x') error('ended')",
        "local n = 0 local t = setmetatable({}, {__len = function() n = n + 1 return n == 1 and 9 or 1 << 50 end}) table.remove(t, 1) error('ended')",
        "table.insert(setmetatable({}, {__len = function() return 1 << 50 end}), 1, 'x')",
        "table.remove(setmetatable({}, {__len = function() return 1 << 50 end}), 1)",
        "table.concat(setmetatable({}, {__len = function() return 1 << 50 end}))", "table.concat({}, '', 1, 1 << 50)",
        "table.unpack({}, 1, 1 << 50)", "table.unpack({}, 1, 1e6)", "table.move({}, 1, 1 << 50, 2)",
        "table.move({}, -1 << 62, 1 << 62, 1)",
        "local n = 0 table.sort(setmetatable({}, {__len = function() n = n + 1 return n == 1 and 5 or 2^31 - 2 end}), rawequal)",
        "local t = {} for i = 1, 90000 do t[i] = i % 7 end table.sort(t, function() return true end)",
        "local t = {} for i = 1, 90000 do t[i] = 0 end table.sort(t, rawequal)",
        "string.rep('', 1 << 60) string.rep('x', 1 << 60)", "('x'):rep(1 << 20, ('y'):rep(1 << 20))",
        // The parser.
        "load('goto a ' .. ('goto a '):rep(30000) .. '::a::')", "load(('goto a '):rep(9000) .. '::a::') error('ended')",
        "while true do load(('(' ):rep(190) .. ('a=a '):rep(10000)) end",
        "local s = 'local ' .. ('a,'):rep(150) .. 'a ' local f = 'function f() ' .. s while true do load(f:rep(60) .. ('x=x '):rep(8000) .. ('end '):rep(60)) end",
        "assert(load(function() return ' ' end))", "load(os.date)() error('ended')",
        "while true do load('return {' .. ('{},'):rep(5000) .. '}') end",
        // Patterns.
        "('a'):rep(30000):find('.-.-.-b')", "('a'):rep(1 << 20):find(('a?'):rep(30) .. 'b')",
        "('a'):rep(200000):match('(.*)(.*)%1%2x')",
        "('x'):rep(1 << 18):find('[' .. ('a'):rep(1 << 18) .. ']')",
        "('x'):rep(1 << 16):find(('[' .. ('a'):rep(1 << 16) .. ']?'):rep(8) .. 'y')",
        "('('):rep(1 << 20):find('%b()')  while true do ('('):rep(1 << 18):find('%b()') end",
        "('a'):rep(1 << 20):gsub('a', string.upper) while true do end",
        "for _ in ('a'):rep(30000):gmatch('.-.-.-b') do end", "('x'):rep(60):find(('(x)'):rep(50))",
        "('x'):find(('(' ):rep(300))", "('a'):rep(250):find(('a-'):rep(250) .. 'b')",
        // Formats and packing.
        "string.format('%99999d', 1)", "string.format(('%d'):rep(1 << 17))", "os.date(('%c'):rep(1 << 18))",
        "string.pack(('i1'):rep(1 << 18))",
        "string.unpack(('b'):rep(1 << 17), ('x'):rep(1 << 17)) error('ended')",
        "string.packsize(('c2147483647'):rep(100))",
        "string.unpack('s8', '\\255\\255\\255\\255\\255\\255\\255\\127x')",
        "string.pack('!17 i', 1)", "utf8.char(table.unpack({}, 1, 1e6))", "utf8.codepoint(('x'):rep(1 << 20), 1, -1)",
        "('x'):rep(1 << 20):byte(1, -1)",
        "string.format('%s', setmetatable({}, {__tostring = function() return {} end}))",
        // Recursion through C.
        "local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x",
        "local t = {} setmetatable(t, {__index = function(t, k) return t[k + 1] end}) return t[1]",
        "local t = setmetatable({}, {__tostring = function(t) return tostring(t) end}) tostring(t)",
        "local t = setmetatable({}, {__eq = function(a, b) return a == b end}) return t == setmetatable({}, getmetatable(t))",
        "local t = setmetatable({}, {__concat = function(a, b) return a .. b end}) return t .. t",
        "local function f() return pcall(f) end f() error('ended')",
        "local function f() coroutine.wrap(f)() end f()", "local function f(s) return s:gsub('.', f) end f('x')",
        "local function f() return load(f)() end f()",
        "local function f() table.sort({2, 1}, f) end f()",
        "local function f() return xpcall(f, f) end f() error('ended')", "local t = {} t.t = t host.echo(t)",
        "local t = {} for i = 1, 100 do t = {t} end host.echo(t)",
        "local v = {} setmetatable(v, {__view = v}) host.echo(v)", "local function f() return f() end f()",
        "local co co = coroutine.wrap(function() co() end) co()",
        "local t = setmetatable({}, {__call = function(t) return t() end}) t()",
        "local t = setmetatable({}, {__pairs = function(t) return pairs(t) end}) for _ in pairs(t) do end",
        "local t = setmetatable({}, {__len = function(t) return #t end}) return #t",
        "for _ in pairs(setmetatable({}, {__pairs = function() return function() return 1 end end})) do end",
        "local t = setmetatable({}, {__newindex = function(t, k, v) t[k] = v end}) t.x = 1",
        "local f = function() end for i = 1, 1e7 do local g = f f = function() return g() end end f()",
        "return (function(...) return select('#', ...) end)(table.unpack({}, 1, 1e7))",
        // Errors that are objects.
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
        "error(setmetatable({}, {__index = function() while true do end end}))", "error(error)", "error(box)",
        "pcall(error, setmetatable({}, {__tostring = error})) while true do end",
        "xpcall(error, function(e) error(e) end, {}) while true do end",
        // Closing and collecting.
        "local x <close> = setmetatable({}, {__close = function() error({}) end})  error('x')", "local x <close> = 5",
        "for i = 1, 300 do local x <close> = setmetatable({}, {__close = function() while true do end end}) end",
        "for _ in next, {1}, nil, setmetatable({}, {__close = function() while true do end end}) do end",
        "collectgarbage('step')", "collectgarbage('generational')", "collectgarbage()",
        "local t = setmetatable({}, {__mode = 'k'}) while true do t[{}] = {} end",
        "setmetatable({}, setmetatable({__gc = true}, {}))",
        "local m = {} setmetatable({}, m) m.__gc = function() while true do end end while true do local t = setmetatable({}, m) end",
        // What belongs to all.
        "getmetatable('').__index = {}", "string.rep = nil ('x'):rep(2) error('ended')",
        "rawset(getmetatable(box), 'x', 1)", "box.take = 1", "rawset(box, 'x', 1)", "setmetatable(_G, nil)",
        "getmetatable(_G).__index = nil", "host.x.y = 1",
        "debug.getregistry()", "next(box)", "local f = pairs(box) f(5)", "local f, s = pairs(box) f({})", "select(-1)",
        "coroutine.close(coroutine.running())", "require(('x'):rep(1 << 20))", "require 'no.such'",
        "require '../../etc/passwd'", "print(('x'):rep(1 << 20)) error('ended')",
    ])
    func endsWithAnError(body: String) throws {
        let (outcome, error) = try attack(body)
        #expect(outcome == .failed, "\(body)")
        #expect(error.reason == .runtime || error.reason == .time || error.reason == .memory, "\(body): \(error)")
    }

    @Test(arguments: [
        "setfenv(2, {})", "setfenv(print, {}) error('ended')", "getfenv(100)",
        "setfenv(1, setmetatable({}, {__index = function() while true do end end})) x()",
        "table.foreach(setmetatable({}, {__index = error}), print) error('ended')",
        "table.foreachi(setmetatable({}, {__len = function() return 1 << 50 end}), function() end)",
        "table.foreachi(setmetatable({}, {__len = function() return 1 << 50 end}), rawequal) error('ended')",
        "table.insert({}, -1 << 62, 1)", "table.insert({}, 1 << 62, 1) error('ended')",
        "loadstring(('x'):rep(1 << 20))", "while true do loadstring('return 1')() end",
        "bit.tohex(1, -2^31) error('ended')", "bit.lshift(1, -1) error('ended')", "bit.band()",
        "unpack({}, 1, 1e8)", "unpack({}, -1e300, 1e300)", "string.rep('x', math.huge)",
        "('x'):rep(0/0) error('ended')", "('%d'):format(0/0) error('ended')",
        "table.maxn(setmetatable({}, {__len = error})) error('ended')",
        "math.ldexp(1, 1e300) error('ended')", "os.time{year = 1e300}", "os.date('*t', 1e300)", "string.char(1e300)",
        "setfenv(0, {})", "getfenv(-1)", "getfenv(1e300)", "newproxy(true)", "jit.x.y = 1",
        "string.format('%c', 1e300) error('ended')",
        "math.random(1, 1e300) error('ended')", "tonumber('1', 1e300)", "table.remove({1}, -1e300) error('ended')",
    ])
    func endsWithAnErrorInTheOldDialect(body: String) throws {
        let (outcome, error) = try attack(body, heading: "function envoy_on_request() end")
        #expect(outcome == .failed, "\(body)")
        #expect(error.reason == .runtime || error.reason == .time || error.reason == .memory, "\(body): \(error)")
    }
}
