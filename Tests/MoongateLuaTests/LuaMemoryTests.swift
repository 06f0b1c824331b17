import CMoongate
import Testing

@testable import MoongateLua

/// A VM holds no more than its limit, and the run that asks for more is the one that fails.
@Suite struct LuaMemoryTests {
    private let bench: LuaBench

    init() throws { bench = try LuaBench(memory: 2 << 20, milliseconds: 2000) }

    private func hook(_ source: String, in bench: LuaBench? = nil) throws -> LuaReference {
        let bench = bench ?? self.bench
        let file = try bench.vm.load(Array(source.utf8), name: "test.lua")
        return try #require(try bench.vm.function("hook", in: file))
    }

    @Test func growthIsCountedAndGivenBack() throws {
        let toggle = try hook("function hook() kept = not kept and ('x'):rep(1 << 20) or nil end")
        let before = bench.vm.memory
        bench.call(toggle)
        #expect(bench.vm.memory.held - before.held > 1_000_000)
        #expect(bench.vm.memoryTaken > 1_000_000)
        bench.call(toggle)
        bench.vm.collectGarbage()
        #expect(bench.vm.memory.held < before.held + 65536)
        #expect(bench.vm.memory.live == bench.vm.memory.held)
        #expect(bench.vm.memory.peak >= 1 << 20)
    }

    @Test(arguments: [
        "local t = {} for i = 1, 1e9 do t[i] = {i} end", "local s = 'x' while true do s = s .. s end",
        "local kept while true do kept = {kept} end",
        "pcall(function() local s = 'x' while true do s = s .. s end end)",
        "local kept while true do pcall(function() kept = {kept, ('x'):rep(1000)} end) end",
        "local kept xpcall(function() while true do kept = {kept} end end, function() return {} end)",
        "local kept coroutine.wrap(function() while true do kept = {kept} end end)()",
        "local kept coroutine.resume(coroutine.create(function() while true do kept = {kept} end end)) host.log('no')",
        "local function f(...) return f(1, ...) end f()",
        "local t = {} while true do t[#t + 1] = coroutine.create(print) end",
        "local kept = {} for i = 1, 1e9 do kept['k' .. i] = i end",
        "local t = {('x'):rep(1 << 20)} for i = 2, 20 do t[i] = t[1] end local kept = table.concat(t)",
        "local kept local t = setmetatable({}, {__close = function() while true do kept = {kept} end end}) do local x <close> = t end",
        "('x'):rep(1 << 19):gsub('x', ('y'):rep(1 << 10))", "string.format(('%s'):rep(20), ('x'):rep(1 << 20, ',', 1))",
        "local b = {} for i = 1, 1e9 do b[i] = string.char(i % 256):rep(1 << 16) end",
    ])
    func theRunThatAsksForTooMuchFailsAlone(attack: String) throws {
        let attacker = try hook("function hook()\n\(attack)\nhost.log('went on') end")
        let bystander = try hook(
            "function hook() local t = {} for i = 1, 5000 do t[i] = {i} end host.log('served') end")
        for _ in 0..<3 {
            let outcome = bench.call(attacker)
            let error = bench.vm.lastError
            #expect(outcome == .failed, "\(attack)")
            #expect(error.reason == .memory || error.message.contains("string.rep"), "\(error)")
            #expect(bench.lines.isEmpty)
            for _ in 0..<20 { #expect(bench.call(bystander) == .finished, "\(bench.vm.lastError)") }
            bench.lines = []
        }
        #expect(bench.vm.memory.peak <= (2 << 20) + (64 << 10))
        bench.vm.collectGarbage()
        #expect(bench.vm.memoryInUse < 1 << 20)
    }

    /// A run that has been refused once is left, or it could ask again and again, at the price of a collection each.
    @Test func noProtectedCallKeepsARefusedRunAlive() throws {
        let attacker = try hook(
            """
            kept = {}
            function hook()
              while true do pcall(function() while true do kept[#kept + 1] = ('x'):rep(100) .. #kept end end) end
            end
            """)
        #expect(bench.call(attacker) == .failed)
        #expect(bench.vm.lastError.message == "memory limit of 2097152 bytes exceeded")
        bench.vm.collectGarbage()
        #expect(bench.vm.memory.live > 3 << 19)
    }

    @Test func garbageIsCollectedBeforeARunIsRefused() throws {
        let hook = try hook("function hook() local s = ('x'):rep(1 << 19) .. 'y' end")
        for _ in 0..<200 { #expect(bench.call(hook) == .finished, "\(bench.vm.lastError)") }
        #expect(bench.vm.memory.peak <= 2 << 20)
    }

    // MARK: Pools

    @Test func aFullPoolRefusesTheRunThatAsks() throws {
        let pool = LuaMemoryPool(limit: 3 << 20)
        let other = try LuaBench(memory: 16 << 20, milliseconds: 2000)
        bench.vm.join(pool)
        other.vm.join(pool)
        #expect(pool.held == bench.vm.memoryInUse + other.vm.memoryInUse)
        let holds = try hook("function hook() kept = ('x'):rep(1 << 20) kept2 = kept .. 'y' end", in: other)
        #expect(other.call(holds) == .finished)
        let asks = try hook("function hook() local s = ('x'):rep(1 << 19) .. 'a' local r = s .. 'b' end")
        #expect(bench.call(asks) == .failed)
        #expect(bench.vm.lastError.reason == .memory)
        // The one that holds most goes on.
        let reads = try hook("function hook() host.log('served') end", in: other)
        #expect(other.call(reads) == .finished)
        #expect(pool.held == bench.vm.memoryInUse + other.vm.memoryInUse)
        other.vm.join(nil)
        #expect(pool.held == bench.vm.memoryInUse)
        #expect(bench.call(asks) == .finished)
    }

    @Test func aVMLeavesItsPoolAtItsEnd() throws {
        let pool = LuaMemoryPool(limit: 1 << 20)
        var vm: LuaVM? = try LuaVM()
        vm?.join(pool)
        #expect(pool.held > 0)
        vm = nil
        #expect(pool.held == 0)
    }

    // MARK: Loading

    @Test func loadingIsLimitedAsWell() throws {
        #expect(throws: LuaError.self) {
            try bench.vm.load(Array("t = {} for i = 1, 1e6 do t[i] = {} end".utf8), name: "t.lua")
        }
        #expect(bench.vm.lastError.reason == .memory)
    }

    @Test(.disabled(if: mg_guard_is_held_back(), "ThreadSanitizer holds signals back"))
    func functionsHaveTimeLimitsOfTheirOwn() throws {
        let spin = try hook("function hook() while true do end end")
        let limited = try bench.vm.limited(spin, milliseconds: 20)
        #expect(bench.call(limited) == .failed)
        #expect(bench.vm.lastError.message == "test.lua:1: time limit of 20 ms exceeded")
    }

    @Test func aWaitingRunGoesOnAfterAnotherWasRefused() throws {
        let waits = try hook("function hook() host.wait() host.log('went on') end")
        let grows = try hook("function hook() local kept while true do kept = {kept} end end")
        guard case .waiting(let thread) = bench.call(waits) else {
            Issue.record("did not wait")
            return
        }
        #expect(bench.call(grows) == .failed)
        #expect(bench.vm.resume(thread, with: [], scope: bench.scope) == .finished)
        #expect(bench.lines == ["went on"])
    }
}
