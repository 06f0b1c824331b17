"""What Lua 5.1 and LuaJIT do otherwise than Lua 5.4: scripts with Envoy's hooks get the results they know."""
import pytest

from harness.compat import differs, lua


def shown(*expressions):
    """A script whose answer has a header for each expression: its values as texts, or the error without its position."""
    functions = "\n".join(f"  function() return {expression} end," for expression in expressions)
    return f"""
local rows = {{
{functions}
}}
local function text(ok, ...)
  local values = {{...}}
  for index = 1, select("#", ...) do values[index] = tostring(values[index]) end
  if not ok then return "error: " .. (values[1]:gsub("^.-:%d+: ", "")) end
  return table.concat(values, " ")
end
function envoy_on_request(h)
  for index, row in ipairs(rows) do h:headers():add("x-row-" .. index, text(pcall(row))) end
end
"""


def rows(seen):
    count = sum(name.startswith("x-row-") for name in seen.headers)
    return [seen[f"x-row-{number}"] for number in range(1, count + 1)]


SAME = {
    "whole floats as texts": {
        "tostring(10/2)": "5", "tostring(1e3)": "1000", "tostring(2^31)": "2147483648", "tostring(-2^31)": "-2147483648",
        'tostring(tonumber("1e3"))': "1000", "tostring(math.max(1, 2.0))": "2", "tostring(#'abcd'/2)": "2",
        "tostring(2.5)": "2.5", "tostring(2^53)": "9.007199254741e+15", "tostring(1e15)": "1e+15",
        "tostring(1e14)": "1e+14", "tostring(123456789012)": "123456789012", "tostring(1/3)": "0.33333333333333",
        "tostring(-1.5)": "-1.5", "tostring(math.floor(3.7))": "3", "tostring(7 / 7)": "1", "tostring(3 % 2.0)": "1",
    },
    "whole floats in format and concat": {
        '("%s"):format(10/2)': "5", '("%s|%s"):format(2^4, 1.5)': "16|1.5", 'table.concat({10/2, 1.5, 3}, ",")': "5,1.5,3",
        '("%d"):format(3.7)': "3", '("%d"):format(-3.7)': "-3", '("%x"):format(255.9)': "ff", '("%d"):format("3.7")': "3",
        '("%.1f"):format(10/4)': "2.5", '("%c"):format(65.5)': "A", '("%i"):format(7.2)': "7", '("%X"):format(255)': "FF",
        '("%s"):format("text")': "text", '("|%5s|"):format(4/2)': "|    2|", '("%d%%"):format(5)': "5%", '("%o"):format(8.9)': "10",
    },
    "numbers that are cut to integers": {
        '("abc"):sub(1.5)': "abc", '("abc"):sub(2.7)': "bc", '("ab"):rep(2.5)': "abab", "string.char(65.5)": "A",
        '("abc"):byte(1.9)': "97", 'os.date("!%H", 0.5)': "00", "math.random(1, 10.5) <= 11": "true",
        "select(1.5, 'a', 'b')": "a b", "(unpack({1, 2, 3}, 1.5, 2.5))": "1",
        "os.time{year = 2020, month = 1.5, day = 1, hour = 12} == os.time{year = 2020, month = 1, day = 1, hour = 12}": "true",
    },
    "patterns": {
        '("abc"):gsub("b", "%x")': "axc 1", '("abc"):gsub("b", "%%")': "a%c 1", '("abc"):gsub("(b)", "<%1>")': "a<b>c 1",
        '("abc"):gsub("b", {b = "x"})': "axc 1", '("abc"):gsub("%w", function(c) return c:upper() end)': "ABC 3",
        '("a.b"):find(".", 1, true)': "2 2", '("key=value"):match("(%w+)=(%w+)")': "key value",
    },
    "tables": {
        "unpack({1, 2, 3})": "1 2 3", "unpack({1, 2, 3}, 2)": "2 3", "unpack({1, 2}, 1, 3)": "1 2 nil",
        "table.getn({1, 2, 3})": "3", "table.maxn({1, 2, [10] = 3})": "10", "table.maxn({})": "0",
        "(function() local s = 0 table.foreach({a = 1, b = 2}, function(k, v) s = s + v end) return s end)()": "3",
        "(function() local s = '' table.foreachi({'x', 'y'}, function(i, v) s = s .. i .. v end) return s end)()": "1x2y",
        "table.foreachi({1, 2, 3}, function(i, v) if i == 2 then return v end end)": "2",
        "(function() local t = {1} table.insert(t, 5, 9) return t[5] end)()": "9",
        "(function() local t = {1, 2, 3} return table.remove(t), #t end)()": "3 2",
        "(function() local t = {3, 1, 2} table.sort(t) return table.concat(t) end)()": "123",
        "table.concat({1, 2, 3}, '-', 2)": "2-3", "table.concat({1, 2, 3}, '-', 1.9, 2.1)": "1-2",
        "select('#', unpack({}, 1, 3))": "3", "table.unpack({1, 2})": "1 2", "table.pack(1, nil).n": "2",
    },
    "load and environments": {
        'loadstring("return 1 + 1")()': "2", 'select("#", loadstring("x ="))': "2", 'type(loadstring("return 1", "name"))': "function",
        'load("return 5")()': "5", "load(function() return nil end) ~= nil": "true",
        'setfenv(loadstring("return x"), {x = 7})()': "7", "getfenv() == _G": "true", "getfenv(1) ~= nil": "true",
        "(function() local f = function() return y end setfenv(f, {y = 3}) return f() end)()": "3",
        "(function() setfenv(1, {z = 4}) return z end)()": "4",
        "type(gcinfo())": "number", 'xpcall(function(a) return a end, print, 4)': "true 4",
        "rawlen({1, 2})": "2", "type(coroutine.isyieldable())": "boolean", "_VERSION ~= nil": "true",
    },
    "math": {
        "math.pow(2, 10)": "1024", "math.log10(1000)": "3", "math.ldexp(1, 4)": "16", "math.cosh(0)": "1", "math.frexp(8)": "0.5 4",
        "math.log(8, 2)": "3", "math.huge": "inf", "-math.huge": "-inf", "math.fmod(7, 3)": "1", "math.modf(3.5)": "3 0.5",
        "math.ceil(2.1)": "3", "7 % 3": "1", "-7 % 3": "2", "5.5 % 2": "1.5", "2 ^ 10": "1024", "math.floor(-3.5)": "-4",
        "10 == 10.0": "true", "math.mod": "nil",
    },
    "bit": {
        "bit.band(255, 15)": "15", "bit.bor(1, 2, 4)": "7", "bit.bxor(5, 1)": "4", "bit.bnot(0)": "-1", "bit.lshift(1, 31)": "-2147483648",
        "bit.rshift(-1, 28)": "15", "bit.arshift(-8, 1)": "-4", "bit.tobit(4294967295)": "-1", "bit.tohex(255)": "000000ff",
        "bit.tohex(255, 4)": "00ff", "bit.tohex(-1, -8)": "FFFFFFFF", "bit.rol(1, 33)": "2", "bit.ror(1, 1)": "-2147483648",
        "bit.bswap(1)": "16777216", "bit.band('255', 15.9)": "16", "bit.lshift(1, 32)": "1", 'require("bit") == bit': "true",
        "bit.band(2^32 + 5, -1)": "5", "bit.bnot(2^31)": "2147483647",
    },
    "the rest": {
        "tostring(nil)": "nil", "type(string.gfind)": "nil", "type(table.setn)": "nil", "tonumber('0x10')": "16",
        "tonumber('  12  ')": "12", "tonumber('1e')": "nil", "tonumber('10', 2)": "2", "tonumber('z', 36)": "35",
        "('x'):rep(0)": "", "#'\\x47'": "1", "'a' .. 1": "a1", "1 .. 2": "12", "'10' + 5": "15", "'3' * '4'": "12", "10 .. ''": "10",
        "'abc' < 'abd'": "true", "not nil": "true", "#{1, 2, 3}": "3", "tostring(1e100)": "1e+100", "type(os.time())": "number",
        'os.date("!%Y-%m-%d", 86400)': "1970-01-02", "os.clock() >= 0": "true", "type(os.getenv)": "function",
        "math.floor('3.7')": "3", "('|%5d|'):format('42')": "|   42|", "(2^53 + 1) % 2^32": "0", "next({})": "nil",
        "pcall(error, 'x', 0)": "false x", "tostring(0)": "0", "tostring(-0.0 == 0)": "true",
        "(function() local h = 5381 for c in ('hello'):gmatch('.') do h = (h * 33 + c:byte()) % 2^32 end return h end)()":
            "261238937",
    },
}


@pytest.mark.parametrize("expected", [
    pytest.param(expected, id=name, marks=lua(shown(*expected))) for name, expected in SAME.items()])
def test_results_are_those_of_lua_5_1(both, expected):
    got = rows(both.call().seen)
    assert dict(zip(expected, got, strict=True)) == expected


# The expression, what Envoy says and what Moongate says.
DIFFERENT = {
    "floats in `..`": ('10/2 .. ""', "5", "5.0"),
    "wide integers": ("9007199254740993", "9.007199254741e+15", "9007199254740993"),
    "the modulus of zero": ("5 % 0", "nan", "error: attempt to perform 'n%0'"),
    "the sign of what is no number": ("0/0", "nan", "-nan"),
    "minus zero": ("tostring(-0)", "-0", "0"),
    "quoted numbers": ('("%q"):format(1)', '"1"', "1"),
    "newer functions": ("type(math.type)", "nil", "function"),
}


@differs("lua-5.4")
@pytest.mark.parametrize("row", [
    pytest.param(row, id=name, marks=lua(shown(row[0]))) for name, row in DIFFERENT.items()])
def test_results_that_are_those_of_lua_5_4(both, row):
    envoy, moongate = both.apart()
    assert [rows(envoy.seen)[0].replace("%%", "%"), rows(moongate.seen)[0].replace("%%", "%")] == [row[1], row[2]]


CLOSED = ["pcall(require, 'ffi')", "type(io)", "type(debug)", "type(package)", "os.execute('true')", "collectgarbage()",
          "setmetatable({}, {__gc = print})", "newproxy()"]


@differs("sandbox")
@lua(shown(*CLOSED))
def test_what_reaches_outside_raises(both):
    def refused(edge):
        return [text for text in rows(edge.call().seen) if text.startswith(("error: ", "false "))]

    envoy, moongate = both.apart(refused)
    assert envoy == [] and len(moongate) == len(CLOSED), moongate
