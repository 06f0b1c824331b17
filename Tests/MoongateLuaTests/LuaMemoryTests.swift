import CMoongate
import Testing

@testable import MoongateLua

/// Memory is charged to the policy that runs, and one that wants too much is barred while the others go on.
@Suite struct LuaMemoryTests {
    private let bench: LuaBench

    init() throws { bench = try LuaBench(memory: 32 << 20, milliseconds: 2000) }

    private func hook(_ source: String, _ account: LuaAccount, name: String = "test.lua") throws -> LuaReference {
        let file = try bench.vm.load(Array(source.utf8), name: name, account: account)
        return try #require(try bench.vm.function("hook", in: file))
    }

    @Test func growthIsChargedToWhoeverRunsAndGivenBack() throws {
        let one = try bench.vm.makeAccount(limit: 8 << 20)
        let two = try bench.vm.makeAccount(limit: 8 << 20)
        let toggle = try hook("function hook() kept = not kept and ('x'):rep(1 << 20) or nil end", one)
        let other = try hook("function hook() local t = {} for i = 1, 10000 do t[i] = {} end end", two)
        let before = bench.vm.memory(of: one)
        bench.call(toggle)
        #expect(bench.vm.memory(of: one).held - before.held > 1_000_000)
        #expect(bench.vm.memory(of: two).held < 1 << 20)
        bench.call(toggle)
        bench.call(other)
        bench.vm.collectGarbage()
        // Collected while another ran or nobody, and still given back to its owner.
        #expect(bench.vm.memory(of: one).held < before.held + 65536)
        #expect(bench.vm.memory(of: one).peak >= 1 << 20)
        #expect(bench.vm.memory(of: two).peak > bench.vm.memory(of: two).held)
    }

    @Test func accountsAddUpToTheVMsMemory() throws {
        let accounts = try (0..<4).map { _ in try bench.vm.makeAccount(limit: 8 << 20) }
        let hooks = try accounts.map {
            try hook(
                "t = {} function hook() for i = 1, 500 do t[#t % 300 + 1] = {tostring(#t), {}} end t = #t > 200 and {} or t end",
                $0)
        }
        for round in 0..<400 { bench.call(hooks[round % 4]) }
        let held = accounts.reduce(bench.vm.memory(of: .host).held) { $0 + bench.vm.memory(of: $1).held }
        #expect(held == bench.vm.memoryInUse)
    }

    @Test(arguments: [
        "local t = {} for i = 1, 1e9 do t[i] = {i} end", "local s = 'x' while true do s = s .. s end",
        "while true do kept = {kept} end", "pcall(function() local s = 'x' while true do s = s .. s end end)",
        "while true do pcall(function() kept = {kept, ('x'):rep(1000)} end) end",
        "xpcall(function() while true do kept = {kept} end end, function() return {} end)",
        "coroutine.wrap(function() while true do kept = {kept} end end)()",
        "coroutine.resume(coroutine.create(function() while true do kept = {kept} end end)) host.log('no')",
        "local function f(...) return f(1, ...) end f()",
        "local t = {} while true do t[#t + 1] = coroutine.create(print) end",
        "kept = {} for i = 1, 1e9 do kept['k' .. i] = i end",
        "local t = {('x'):rep(1 << 20)} for i = 2, 20 do t[i] = t[1] end kept = table.concat(t)",
        "local t = setmetatable({}, {__close = function() while true do kept = {kept} end end}) do local x <close> = t end",
        "('x'):rep(1 << 19):gsub('x', ('y'):rep(1 << 10))", "string.format(('%s'):rep(20), ('x'):rep(1 << 20, ',', 1))",
        "local b = {} for i = 1, 1e9 do b[i] = string.char(i % 256):rep(1 << 16) end",
    ])
    func overTheLimitEndsTheHookAndBarsThePolicy(attack: String) throws {
        let guilty = try bench.vm.makeAccount(limit: 2 << 20)
        let innocent = try bench.vm.makeAccount(limit: 2 << 20)
        let attacker = try hook("function hook()\n\(attack)\nhost.log('went on') end", guilty)
        let bystander = try hook("function hook() host.log('served') end", innocent)
        let outcome = bench.call(attacker)
        let error = bench.vm.lastError
        #expect(outcome == .failed, "\(attack)")
        #expect(error.reason == .memory || error.message.contains("string.rep"), "\(error)")
        #expect(bench.lines.isEmpty)
        // A library's buffer that is refused is nothing that the policy holds.
        if error.reason == .memory, !error.message.hasSuffix("not enough memory") {
            #expect(error.message == "memory limit of 2097152 bytes exceeded")
            #expect(bench.vm.takeSpentAccount() == guilty)
            #expect(bench.call(attacker) == .failed)
            #expect(bench.vm.lastError.reason == .memory)
            #expect(bench.vm.lastError.message.hasPrefix("the policy waits for a new script engine"))
        }
        #expect(bench.vm.takeSpentAccount() == nil)
        bench.lines = []
        for _ in 0..<100 { #expect(bench.call(bystander) == .finished) }
        #expect(bench.vm.memoryInUse < 8 << 20)
    }

    @Test func garbageIsCollectedBeforeAPolicyIsBarred() throws {
        let account = try bench.vm.makeAccount(limit: 4 << 20)
        let hook = try hook("function hook() local s = ('x'):rep(1 << 20) .. 'y' end", account)
        for _ in 0..<200 { #expect(bench.call(hook) == .finished, "\(bench.vm.lastError)") }
        #expect(bench.vm.takeSpentAccount() == nil)
        #expect(bench.vm.memory(of: account).peak <= 4 << 20)
    }

    /// Each allocation of a policy just below its limit would be a full collection, which others would pay for.
    @Test func whoHoversBelowTheLimitIsBarred() throws {
        let account = try bench.vm.makeAccount(limit: 2 << 20)
        let hook = try hook(
            """
            function hook()
              if not kept then
                kept = {}
                while collectgarbage('count') * 1024 < 2150000 do kept[#kept + 1] = ('x'):rep(1000) .. #kept end
              end
              local garbage = {}
              for i = 1, 1000 do garbage = {i} end
            end
            """, account)
        var outcome = LuaOutcome.finished
        for _ in 0..<50 where outcome == .finished { outcome = bench.call(hook) }
        #expect(outcome == .failed)
        #expect(bench.vm.takeSpentAccount() == account)
    }

    @Test func aFullVMBlamesWhoHoldsMost() throws {
        let bench = try LuaBench(memory: 4 << 20, milliseconds: 2000)
        let large = try bench.vm.makeAccount(limit: 16 << 20)
        let small = try bench.vm.makeAccount(limit: 16 << 20)
        let holder = try bench.vm.load(
            Array("function hook() kept = ('x'):rep(1 << 20) kept2 = kept .. 'y' kept3 = kept .. 'z' end".utf8),
            name: "h.lua", account: large)
        bench.call(try #require(try bench.vm.function("hook", in: holder)))
        let other = try bench.vm.load(
            Array("function hook() local s = ('x'):rep(1 << 19) .. 'a' local r = s .. 'b' end".utf8), name: "o.lua",
            account: small)
        let hook = try #require(try bench.vm.function("hook", in: other))
        _ = bench.call(hook)
        #expect(bench.vm.takeSpentAccount() == large)
        #expect(bench.vm.takeSpentAccount() == nil)
    }

    @Test func loadingIsChargedAsWell() throws {
        let account = try bench.vm.makeAccount(limit: 1 << 20)
        #expect(throws: LuaError.self) {
            try bench.vm.load(Array("t = {} for i = 1, 1e6 do t[i] = {} end".utf8), name: "t.lua", account: account)
        }
        #expect(bench.vm.lastError.reason == .memory)
    }

    @Test(.disabled(if: mg_guard_is_held_back(), "ThreadSanitizer holds signals back"))
    func functionsHaveTimeLimitsOfTheirOwn() throws {
        let spin = try hook("function hook() while true do end end", .host)
        let limited = try bench.vm.limited(spin, milliseconds: 20)
        #expect(bench.call(limited) == .failed)
        #expect(bench.vm.lastError.message == "test.lua:1: time limit of 20 ms exceeded")
    }

    @Test func aWaitingHookOfABarredPolicyFails() throws {
        let account = try bench.vm.makeAccount(limit: 1 << 20)
        let waits = try hook("function hook() host.wait() host.log('no') end", account)
        let grows = try hook("function hook() while true do kept = {kept} end end", account)
        guard case .waiting(let thread) = bench.call(waits) else {
            Issue.record("did not wait")
            return
        }
        // Two files on one account, as two uses of one policy are.
        #expect(bench.call(grows) == .failed)
        #expect(bench.vm.resume(thread, with: [], scope: bench.scope) == .failed)
        #expect(bench.vm.lastError.reason == .memory)
        #expect(bench.lines.isEmpty)
    }
}
