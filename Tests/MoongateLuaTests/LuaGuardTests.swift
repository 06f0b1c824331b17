import CMoongate
import Testing

@testable import MoongateLua

/// Scripts that do not end are ended, and the VM goes on.
@Suite(.disabled(if: mg_guard_is_held_back(), "ThreadSanitizer holds signals back")) struct LuaGuardTests {
    /// Runs `body` as a hook, expects the guard to end it, and that the next hook works.
    private func expectKilled(_ body: String, sourceLocation: Testing.SourceLocation = #_sourceLocation) throws {
        let bench = try LuaBench(milliseconds: 20)
        let outcome = try bench.run("function hook(box)\n\(body)\nend")
        #expect(outcome == .failed, sourceLocation: sourceLocation)
        #expect(bench.vm.lastError.reason == .time, "\(bench.vm.lastError)", sourceLocation: sourceLocation)
        #expect(try bench.evaluate("host.log('alive')") == "alive", sourceLocation: sourceLocation)
    }

    @Test func endlessLoopIsKilledWithItsLine() throws {
        let bench = try LuaBench(milliseconds: 20)
        #expect(try bench.run("function hook()\n  while true do end\nend") == .failed)
        #expect(bench.vm.lastError.message == "test.lua:2: time limit of 20 ms exceeded")
        #expect(bench.vm.lastError.traceback.contains("test.lua:2"))
    }

    @Test func pcallDoesNotKeepALoopAlive() throws {
        try expectKilled("while true do pcall(function() while true do end end) end")
        try expectKilled("while true do pcall(error) end")
        try expectKilled("while true do xpcall(function() while true do end end, function() while true do end end) end")
        try expectKilled("xpcall(error, function() while true do end end)")
    }

    @Test func ownCoroutinesAreKilled() throws {
        try expectKilled("coroutine.wrap(function() while true do end end)()")
        try expectKilled(
            "while true do local c = coroutine.create(function() while true do end end) coroutine.resume(c) end")
        try expectKilled(
            "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end")
    }

    @Test func closeHandlersAreKilled() throws {
        try expectKilled("local x <close> = setmetatable({}, {__close = function() while true do end end})")
        try expectKilled(
            """
            local c = coroutine.create(function()
              local x <close> = setmetatable({}, {__close = function() while true do end end})
              coroutine.yield()
            end)
            coroutine.resume(c)
            coroutine.close(c)
            """)
        let bench = try LuaBench(milliseconds: 20)
        let outcome = try bench.run(
            """
            function hook()
              local x <close> = setmetatable({}, {__close = function() while true do end end})
              host.stop()
            end
            """)
        #expect(outcome == .stopped)
        #expect(try bench.evaluate("host.log('alive')") == "alive")
        _ = try bench.run(
            """
            function hook()
              local x <close> = setmetatable({}, {__close = function() while true do end end})
              error('first')
            end
            """)
        #expect(bench.vm.lastError.message == "test.lua:3: first")
        #expect(try bench.evaluate("host.log('alive')") == "alive")
    }

    @Test func loopsAcrossCFunctionsAreKilled() throws {
        try expectKilled(
            "local s, t = ('x'):rep(1 << 20), {} for i = 1, 50000 do t[i] = s end table.sort(t)")
        try expectKilled("table.sort({3, 2, 1}, function() while true do end end)")
        try expectKilled("('x'):gsub('x', function() while true do end end)")
        try expectKilled("while true do pcall(table.sort, {3, 2, 1}, function() while true do end end) end")
        try expectKilled("load(function() while true do end end)")
        try expectKilled("local t = setmetatable({}, {__index = function() while true do end end}) local x = t.x")
        try expectKilled("goto a ::a:: goto a")
    }

    @Test func aKilledCoroutineCannotBeUsedToEscape() throws {
        let bench = try LuaBench(milliseconds: 20)
        let hook = try bench.hook(
            """
            function hook()
              if stray then return host.log(tostring(coroutine.close(stray))) end
              stray = coroutine.create(function()
                local x <close> = setmetatable({}, {__close = function() while true do end end})
                table.sort({3, 2, 1}, function() while true do end end)
              end)
              coroutine.resume(stray)
            end
            """)
        #expect(bench.call(hook) == .failed)
        #expect(bench.vm.lastError.reason == .time)
        #expect(bench.call(hook) == .finished)
        #expect(bench.lines == ["false"])
    }

    @Test func patternsAreKilled() throws {
        try expectKilled("local s = ('a'):rep(30000) s:find('.-.-.-.-b')")
        try expectKilled("local s = ('a'):rep(30000) for _ in s:gmatch('.-.-.-b') do end")
        try expectKilled("local s = ('a'):rep(30000) s:gsub('.-.-.-b', '')")
        try expectKilled("local s = ('a'):rep(30000) pcall(string.match, s, '(.*).*.*.*b') while true do end")
    }

    @Test func mainChunkIsKilled() throws {
        let bench = try LuaBench(milliseconds: 20)
        #expect(throws: LuaError.self) { try bench.vm.load(Array("while true do end".utf8), name: "loop.lua") }
        #expect(bench.vm.lastError.reason == .time)
        #expect(bench.vm.lastError.line(in: "loop.lua") == 1)
        #expect(try bench.evaluate("host.log('alive')") == "alive")
    }

    @Test func aHookThatFiredTooLateDoesNotKillTheNextRun() throws {
        let bench = try LuaBench(milliseconds: 10)
        let short = try bench.hook("function hook() local n = 0 for i = 1, 100 do n = n + i end end")
        for round in 0..<20 {
            _ = try bench.run("function hook() while true do end end")
            #expect(bench.vm.lastError.reason == .time)
            for _ in 0..<50 { #expect(bench.call(short) == .finished, "round \(round)") }
        }
    }

    @Test func endlessAllocationEndsAtTheLimit() throws {
        let bench = try LuaBench(memory: 4 << 20, milliseconds: 5000)
        #expect(try bench.run("function hook() local t = {} while true do t[#t + 1] = {} end end") == .failed)
        #expect(bench.vm.lastError.reason == .memory)
        #expect(bench.vm.memoryInUse <= 4 << 20)
        #expect(try bench.evaluate("host.log('alive')") == "alive")
        #expect(try bench.run("function hook() local s = 'x' while true do s = s .. s end end") == .failed)
        #expect(bench.vm.lastError.reason == .memory)
        #expect(try bench.run("function hook() local function f() return 1 + f() end f() end") == .failed)
        #expect(try bench.evaluate("host.log('alive')") == "alive")
    }

    @Test func loopsInCAreBounded() throws {
        let bench = try LuaBench()
        #expect(try bench.evaluate("host.log(#(''):rep(1 << 60))") == "0")
        #expect(try bench.evaluate("('x'):rep(1 << 40)").contains("would be longer than"))
        #expect(try bench.evaluate("table.move({}, 1, 1 << 40, 2)").contains("too many elements"))
        #expect(try bench.evaluate("table.concat({}, '', 1, 1 << 40)").contains("too many elements"))
        #expect(
            try bench.evaluate("table.insert(setmetatable({}, {__len = function() return 1 << 40 end}), 1, 1)")
                .contains("too many elements"))
        #expect(
            try bench.evaluate("table.sort(setmetatable({}, {__len = function() return 1 << 30 end}))")
                .contains("too many elements"))
        #expect(try bench.evaluate("host.log(('ab'):rep(3, '-'))") == "ab-ab-ab")
        #expect(try bench.evaluate("host.log(table.concat({1, 2, 3}, ',', 2, 3))") == "2,3")
    }
}
