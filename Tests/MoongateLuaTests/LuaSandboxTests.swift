import CMoongate
import Testing

@testable import MoongateLua

/// What policy files can and cannot reach.
@Suite struct LuaSandboxTests {
    @Test(arguments: [
        ("io.open('x')", "io is closed in policies"),
        ("os.execute('x')", "os.execute is closed in policies"),
        ("os.exit()", "os.exit is closed in policies"),
        ("os.remove('x')", "os.remove is closed in policies"),
        ("debug.sethook()", "debug is closed in policies"),
        ("package.loadlib('x', 'y')", "package is closed in policies"),
        ("local x = package.cpath", "package is closed in policies"),
        ("dofile('x')", "dofile is closed in policies"),
        ("loadfile('x')", "loadfile is closed in policies"),
        ("string.dump(print)", "string.dump is closed in policies"),
        ("collectgarbage('stop')", "collectgarbage: only \"count\" is open in policies"),
        ("setmetatable({}, {__gc = print})", "__gc is closed in policies"),
        ("require 'ffi'", "module 'ffi' is closed in policies: it reaches outside the script engine"),
        ("load('x', 'x', 'b')", "binary chunks are closed in policies"),
    ])
    func closedFunctionsSaySo(call: String, message: String) throws {
        #expect(try LuaBench().evaluate(call) == "error: test.lua:2: " + message)
    }

    @Test func openFunctionsWork() throws {
        let bench = try LuaBench()
        #expect(try bench.evaluate("host.log(type(os.time())) host.log(type(os.date()))") == "number|string")
        #expect(try bench.evaluate("host.log(math.max(1, 2)) host.log(utf8.char(228))") == "2|ä")
        #expect(try bench.evaluate("print('a', 1, nil, {} ~= nil)") == "a\t1\tnil\ttrue")
        #expect(try bench.evaluate("host.log(tostring(collectgarbage('count') > 1))") == "true")
        #expect(try bench.evaluate("host.log(require('string').format('%d', 3))") == "3")
        #expect(try bench.evaluate("for k, v in pairs({a = 1}) do host.log(k .. v) end") == "a1")
        #expect(
            try bench.evaluate(
                "for k, v in pairs(setmetatable({}, {__pairs = function() return next, {b = 2}, nil end})) do host.log(k .. v) end"
            ) == "b2")
    }

    @Test func undefinedGlobalsAreNil() throws {
        #expect(
            try LuaBench().evaluate("host.log(tostring(nill)) host.log(tostring(pcall(function() return io end)))")
                == "nil|false")
    }

    @Test func binaryChunksAreRefused() throws {
        let bench = try LuaBench()
        #expect(throws: LuaError.self) { try bench.vm.load([0x1b, 0x4c, 0x75, 0x61, 0x54], name: "b.lua") }
        #expect(try bench.evaluate("host.log(tostring(load('\\27Lua')))").hasPrefix("nil"))
    }

    @Test func loadedTextHasTheGlobalsOfItsFile() throws {
        let bench = try LuaBench()
        #expect(try bench.evaluate("mine = 7 load('host.log(mine) mine = 8')() host.log(mine)") == "7|8")
        #expect(try bench.evaluate("host.log(tostring(load('return host', 'x', 't', {})()))") == "nil")
        #expect(
            try bench.evaluate("local n = 0 host.log(load(function() n = n + 1 return ({'return ', '5'})[n] end)())")
                == "5")
    }

    @Test func filesDoNotShareGlobalsOrLibraries() throws {
        let bench = try LuaBench()
        let one = "value = 1 string.rep = nil math.pi = 3 host.extra = 1 function hook() end"
        _ = try bench.vm.load(Array(one.utf8), name: "one.lua")
        #expect(
            try bench.evaluate("host.log(tostring(value) .. type(string.rep) .. tostring(host.extra))")
                == "nilfunctionnil")
        #expect(try bench.evaluate("host.log(tostring(math.pi > 3.1))") == "true")
        #expect(try bench.evaluate("host.log(('x'):rep(2))") == "xx")
    }

    @Test func metatablesOfStringsAndLibrariesAreHidden() throws {
        let bench = try LuaBench()
        #expect(try bench.evaluate("host.log(tostring(getmetatable('')))") == "false")
        #expect(try bench.evaluate("setmetatable(os, nil)") == "error: test.lua:2: cannot change a protected metatable")
        #expect(try bench.evaluate("host.log(tostring(getmetatable(box)))") == "false")
    }

    @Test func modulesAreSharedByAllFiles() throws {
        let bench = try LuaBench()
        _ = try bench.run("local m = require 'shared' m.count = m.count + 1 function hook() end")
        #expect(try bench.evaluate("local m = require 'shared' host.log(m.name .. m.count)") == "shared1")
    }

    @Test func tablesOfTheHostAreReadOnly() throws {
        let bench = try LuaBench()
        let config = try bench.vm.makeTable(
            .table([
                .init(.string("name"), .string("x")),
                .init(.string("list"), .list([.integer(1), .integer(2)])),
            ]))
        let source = """
            function read(c)
              host.log(c.name .. #c.list .. c.list[2])
              for i, v in ipairs(c.list) do host.log(i .. '=' .. v) end
              local n = 0
              for k in pairs(c) do n = n + 1 end
              host.log(n)
              host.echo(c)
            end
            function write(c) c.list[1] = 5 end
            """
        let file = try bench.vm.load(Array(source.utf8), name: "config.lua")
        let read = try #require(try bench.vm.function("read", in: file))
        #expect(bench.vm.start(read, argument: config) == .finished, "\(bench.vm.lastError)")
        #expect(bench.lines == ["x22", "1=1", "2=2", "2"])
        #expect(bench.values.last??["list"] == .list([.integer(1), .integer(2)]))
        let write = try #require(try bench.vm.function("write", in: file))
        #expect(bench.vm.start(write, argument: config) == .failed)
        #expect(bench.vm.lastError.message == "config.lua:9: this table is read-only")
    }
}
