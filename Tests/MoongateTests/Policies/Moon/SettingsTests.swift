import Testing

@testable import Moongate

@Suite struct SettingsTests {
    @Test func settingsAreGivenWithDefaults() throws {
        try MoonScript.run(
            #"""
            local s = moon.settings({ a = "x", n = 2, list = { "p", "q" }, one = "z", wait = "1m30s", short = "250ms",
              size = "64KiB", map = { k = 1 }, sub = { deep = true } }, {
              a = "string", b = { "string", default = "fallback" }, n = { "integer", min = 1, max = 3 },
              list = { "list", of = "string" }, one = { "list", of = "string", single = true },
              wait = "duration", short = "duration", size = "size", map = { "map", of = "number" },
              sub = { "table", fields = { deep = "boolean", other = { "list", default = {} } } }, none = "any" })
            assert(s.a == "x" and s.b == "fallback" and s.n == 2 and s.list[2] == "q" and s.one[1] == "z")
            assert(s.wait == 90 and s.short == 0.25 and s.size == 65536 and s.map.k == 1 and s.sub.deep == true)
            assert(#s.sub.other == 0 and s.none == nil)
            """#)
    }

    @Test(arguments: [
        ("{ x = 1 }", "{ b = 'string', a = 'string' }", "unknown setting \"x\" (known: a, b)"),
        ("{ s = { x = 1 } }", "{ s = { 'table', fields = { a = 'any' } } }", "unknown setting \"x\" in s (known: a)"),
        ("{}", "{ a = { 'string', required = true } }", "a is missing"),
        ("{ s = {} }", "{ s = { 'table', fields = { a = { 'any', required = true } } } }", "s.a is missing"),
        ("{ a = 1 }", "{ a = 'string' }", "a must be a string"),
        ("{ a = '1' }", "{ a = 'number' }", "a must be a number"),
        ("{ a = 1.5 }", "{ a = 'integer' }", "a must be a whole number"),
        ("{ a = 1 }", "{ a = 'boolean' }", "a must be true or false"),
        ("{ a = 'x' }", "{ a = { 'string', values = { 'p', 'q' } } }", "a must be one of p, q"),
        ("{ a = 9 }", "{ a = { 'number', min = 0, max = 5 } }", "a must be 0 to 5"),
        ("{ a = 9 }", "{ a = { 'number', max = 5 } }", "a must be at most 5"),
        ("{ a = -1 }", "{ a = { 'number', min = 0 } }", "a must be at least 0"),
        ("{ a = 'x' }", "{ a = 'list' }", "a must be a list"),
        ("{ a = { 1 } }", "{ a = { 'list', of = 'string' } }", "a[1] must be a string"),
        ("{ a = {} }", "{ a = { 'list', empty = false } }", "a is empty"),
        ("{ a = { 1 } }", "{ a = 'map' }", "a must be a map"),
        ("{ a = { k = {} } }", "{ a = { 'map', of = 'string' } }", "a[name 1] must be a string"),
        ("{ a = 5 }", "{ a = 'duration' }", "a must be a duration such as 250ms or 5s"),
        ("{ a = '5x' }", "{ a = 'size' }", "a must be a size such as 64KiB or 4MiB"),
        ("{ 'x' }", "{ a = 'any' }", "the settings must have names"),
    ])
    func mistakesAreNamed(config: String, schema: String, message: String) throws {
        let unhealthyReason = MoonScript.unhealthyReason("function on_init() moon.settings(\(config), \(schema)) end")
        #expect(unhealthyReason == "moongate.yaml:7:3: policy p: \(message)")
    }

    @Test(arguments: [("{ a = 'strng' }", "a has an unknown type"), ("{ a = {} }", "a has no type")])
    func aMistakeInTheDescriptionIsThePolicys(schema: String, message: String) throws {
        let unhealthyReason = MoonScript.unhealthyReason("function on_init() moon.settings({ a = 1 }, \(schema)) end")
        #expect(unhealthyReason.hasPrefix("/etc/p.lua:2") && unhealthyReason.contains(message))
    }
}
