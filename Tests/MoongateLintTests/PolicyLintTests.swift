import Moongate
import MoongateLint
import Testing

@Suite struct PolicyLintTests {
    private func findings(_ source: String) -> [String] {
        PolicyLint.check(Array(source.utf8), api: PolicyAPI.lint).map { finding in
            "\(finding.line): \(finding.message)" + (finding.hint.map { " (\($0))" } ?? "")
        }
    }

    @Test func aGoodPolicyHasNoFindings() {
        #expect(
            findings(
                """
                local moon = require "moon"
                local instances = setmetatable({}, { __mode = "k" })
                function on_init(config)
                  instances[config] = { set = moon.cidr(config.list), text = ("%d"):format(#config.list) }
                end
                local function helper(handle, ...)
                  local first, second = ...
                  for index, value in ipairs { first, second } do handle:logInfo(index .. value) end
                  goto done
                  ::done::
                end
                function on_request(handle)
                  local headers <const> = handle:headers()
                  for name, value in pairs(headers) do helper(handle, name, value) end
                  if handle:streamInfo():downstreamSslConnection():tlsVersion() == "x" then return end
                  headers:replace("x", instances[handle:config()].text)
                  local shared = handle:streamInfo():dynamicMetadata()
                  shared:set("a", "b", 7 // 2 | 1 << 3 ~ ~0)
                end
                """) == [])
    }

    @Test(arguments: [
        ("function on_request(h) h:header() end", "1: a Handle has no method header (did you mean \"headers\"?)"),
        (
            "function on_request(h) h:headers():repalce('a', 'b') end",
            "1: a HeaderMap has no method repalce (did you mean \"replace\"?)"
        ),
        (
            "function on_request(h) local map = h:headers() map:frobnicate() end",
            "1: a HeaderMap has no method frobnicate"
        ),
        (
            "local function f(handle) handle:respnd({}) end f()",
            "1: a Handle has no method respnd (did you mean \"respond\"?)"
        ),
        (
            "---@param map HeaderMap\nlocal function f(map) map:gett('x') end f()",
            "2: a HeaderMap has no method gett (did you mean \"get\"?)"
        ),
        (
            "function on_request(h) h.headers() end",
            "1: Handle's headers is a method (call it with a colon: h:headers(…))"
        ),
        (
            "local moon = require 'moon' local x = moon.hsh('a') function on_init() return x end",
            "1: there is no moon.hsh (did you mean \"hash\"?)"
        ),
        (
            "function on_init() return moon.password.verfiy end",
            "1: there is no moon.password.verfiy (did you mean \"verify\"?)"
        ),
        (
            "local m = moon.cidr('10.0.0.0/8') function on_init() m:contain('x') end",
            "1: a AddressSet has no method contain (did you mean \"contains\"?)"
        ),
        ("function on_init() return string.trim('x') end", "1: there is no string.trim"),
        (
            "function on_init() return EnvoyTimestampResolution.SECOND end",
            "1: there is no EnvoyTimestampResolution.SECOND"
        ),
        ("function on_init() return os.getenv('HOME') end", "1: os.getenv is closed in policies"),
        ("function on_init() return io.open('x') end", "1: io is closed in policies"),
        ("function on_init() return unpack({}) end", "1: unpack is gone since Lua 5.1 (use table.unpack)"),
        ("function on_init() return table.getn({}) end", "1: table.getn is gone since Lua 5.1 (use #t)"),
        (
            "local bit = require 'bit' function on_init() return bit end",
            "1: there is no bit since Lua 5.1 (use the operators & | ~ << >>)"
        ),
        (
            "function on_init() return bit.band(1, 2) end",
            "1: bit is gone since Lua 5.1 (use the operators & | ~ << >>)"
        ),
        ("function on_init() return undefinedname end", "1: there is no undefinedname"),
        ("function on_init() pritn('x') end", "1: there is no pritn (did you mean \"print\"?)"),
        ("function on_request()\n  local x = 5\nend", "2: the local x is never used"),
        ("local function f() end", "1: the function f is never used"),
        ("function on_init(c) for i, v in ipairs(c) do print(v) end end", "1: the loop's i is never used (call it _)"),
        (
            "function on_requets(h) print(h) end",
            "1: there is no hook on_requets (did you mean \"on_request\"?)"
        ),
        (
            "function on_init() count = 1 end",
            "1: the global count is set within a function (is `local` missing? Otherwise give it a value at the top of the file)"
        ),
    ])
    func whatIsWrongIsFound(source: String, finding: String) { #expect(findings(source) == [finding]) }

    @Test(arguments: [
        "local _unused = 5", "count = 0 function on_init() count = count + 1 end",
        "string.trim = function(s) return s end function on_init() return string.trim('x') end",
        "function on_request(h) h = other() return h:anything() end function other() return 5 end",
        "local function f(n) return n == 0 or f(n - 1) end function on_init() f(3) end",
        "function on_init() local t = {} t.x.y = 1 t['z']:call() end", "function on_init() return 10 / 2 .. '' end",
        "local moon = nil function on_init() return moon.anything end",
    ])
    func whatIsFineIsLeftAlone(source: String) { #expect(findings(source) == []) }

    @Test func filesWithEnvoysHooksHaveTheNamesOfLua51() {
        let hook = "function envoy_on_request(h) h:logInfo(%) end"
        let found = { (code: String) in findings(hook.replacing("%", with: code)) }
        #expect(found("unpack({'x'})") == [])
        #expect(found("bit.tohex(table.getn({}))") == [])
        #expect(found("require('bit').tohex(1)") == [])
        let quotient = "1: a quotient in a text has a \".0\" that Lua 5.1 left out"
        let hint = " (write math.floor(…), or // for whole numbers)"
        #expect(found("'half: ' .. 10 / 2") == [quotient + hint])
        #expect(found("(2 ^ 31 + 1) .. ''") == [quotient + hint])
        #expect(found("math.floor(10 / 2) .. ''") == [])
        #expect(found("module('x')") == ["1: there is no module (return a table from the file)"])
        #expect(found("require('ffi')") == ["1: there is no ffi (policies cannot call C)"])
    }

    @Test func statementsAreThoseThatRun() {
        let source = """
            local a = 1
            local b
            local c <const> = 2
            local function f(x)
              if x then
                return a
              elseif b then
                b = {
                  c,
                }
              end
              while true do
                break
              end
              for i = 1, 3 do print(i) end
            end
            f(function()
              print(1)
            end)
            """
        let lines = PolicyLint.statements(Array(source.utf8)).compactMap { $0.min() }.sorted()
        #expect(lines == [1, 5, 6, 7, 8, 15, 15, 17, 18])
    }
}
