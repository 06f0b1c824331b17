import Testing

@testable import MoongateLua

/// The guarded matcher answers as Lua's own (checked against Lua 5.4).
@Suite struct LuaPatternTests {
    @Test(arguments: [
        ("('hello world'):find('wor')", "7 9"), ("('a.b'):find('.', 1, true)", "2 2"),
        ("('hello'):find('l+')", "3 4"), ("('hello'):find('xyz')", "nil"), ("('hello'):find('', 10)", "nil"),
        ("('hello'):find('', 6)", "6 5"), ("('hello'):find('l', -2)", "4 4"), ("('abc'):find('b()')", "2 2 3"),
        ("('key = value'):match('^(%w+)%s*=%s*(%w+)$')", "key value"), ("('  trim  '):match('^%s*(.-)%s*$')", "trim"),
        ("('[x]'):match('[]]')", "]"), ("('a-z'):match('[a%-z]+')", "a-z"), ("('x^y'):match('[%^x]+')", "x^"),
        ("('f(a(b)c)d'):match('%b()')", "(a(b)c)"), ("('THE (quick) fox'):find('%((%a+)%)')", "5 11 quick"),
        ("('hello hello'):match('(%w+) %1')", "hello"), ("('one two'):match('%f[%w]%w+$')", "two"),
        ("('abc'):match('a?b?c?d?')", "abc"), ("('aaa'):match('a-')", ""), ("('aaab'):match('a-b')", "aaab"),
        ("('2024-01-02'):match('(%d+)-(%d+)-(%d+)')", "2024 01 02"), ("('$5'):match('%$%d')", "$5"),
        ("('a$'):match('a$')", "nil"), ("('é'):match('[\\128-\\255]+')", "é"), ("('a\\0b'):match('%z')", "nil"),
        ("('abc'):gsub('%w', '%0%0')", "aabbcc 3"), ("('hello world'):gsub('o', '0', 1)", "hell0 world 1"),
        ("('abc'):gsub('', '-')", "-a-b-c- 4"), ("('abc'):gsub('(a)(b)', '%2%1')", "bac 1"),
        ("('$name is'):gsub('%$(%w+)', {name = 'bob'})", "bob is 1"),
        ("('abc'):gsub('%w', function(c) if c == 'b' then return 'X' end end)", "aXc 3"),
        ("('abc'):gsub('^a', 'x')", "xbc 1"), ("('aaa'):gsub('^a', 'x')", "xaa 1"), ("('x'):gsub('x', '%%')", "% 1"),
        ("('127.0.0.1:12345'):match('^(.*):%d+$')", "127.0.0.1"), ("('a:1:x'):match('^(.*):%d+$')", "nil"),
        ("('[::1]:80'):match('^(.*):(%d+)$')", "[::1] 80"), ("('aXbXc'):match('(.*)X+')", "aXb"),
        ("('aXbXc'):match('(.-)X')", "a"), ("('ab'):match('.*b?$')", "ab"), ("('abb'):match('(a.*)b-$')", "abb"),
        ("('x=1;y'):match('((.*)=)')", "x= x"), ("('aab'):match('a*ab')", "aab"),
        ("('a$b'):match('.*$b')", "a$b"), ("('ab '):match('.*%s$')", "ab "), ("(''):match('.*$')", ""),
        ("('abc'):gsub('b()', '%1')", "a3c 1"), ("('a,b,,c'):gsub(',', ';')", "a;b;;c 3"),
    ])
    func answersAreLuas(expression: String, expected: String) throws {
        let body =
            "local r = table.pack(\(expression)) for i = 1, r.n do r[i] = tostring(r[i]) end host.log(table.concat(r, ' '))"
        #expect(try LuaBench().evaluate(body) == expected)
    }

    @Test(arguments: [
        ("('x'):find('[a')", "malformed pattern (missing ']')"),
        ("('x'):find('%')", "malformed pattern (ends with '%')"),
        ("('x'):find('(x')", "unfinished capture"), ("('x'):find('.)')", "invalid pattern capture"),
        ("('a'):find('.*)b')", "invalid pattern capture"),
        ("('x'):find('%1')", "invalid capture index %1"), ("('x'):find('%f')", "missing '[' after '%f' in pattern"),
        ("('x'):find('%b')", "malformed pattern (missing arguments to '%b')"),
        ("('x'):gsub('x', '%2')", "invalid capture index %2"),
        ("('x'):gsub('x', '%x')", "invalid use of '%' in replacement string"),
        ("('x'):gsub('x', function() return {} end)", "invalid replacement value (a table)"),
    ])
    func badPatternsSayWhy(expression: String, message: String) throws {
        #expect(try LuaBench().evaluate(expression) == "error: test.lua:2: " + message)
    }

    @Test func gmatchWalksAllMatches() throws {
        let bench = try LuaBench()
        #expect(try bench.evaluate("for w in ('one two  three'):gmatch('%a+') do host.log(w) end") == "one|two|three")
        #expect(try bench.evaluate("for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do host.log(k .. v) end") == "a1|b2")
        #expect(try bench.evaluate("for m in ('abc'):gmatch('') do host.log('[' .. m .. ']') end") == "[]|[]|[]|[]")
        #expect(try bench.evaluate("for m in ('abcd'):gmatch('%a', 3) do host.log(m) end") == "c|d")
    }
}
