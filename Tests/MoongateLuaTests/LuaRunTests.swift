import CMoongate
import Testing

@testable import MoongateLua

/// Hooks in pooled coroutines: errors, waiting, stopping.
@Suite struct LuaRunTests {
    @Test func syntaxErrorsNameTheLine() throws {
        let bench = try LuaBench()
        let error = #expect(throws: LuaError.self) { try bench.vm.load(Array("x = 1\nx = = 2".utf8), name: "bad.lua") }
        #expect(error?.reason == .syntax)
        #expect(error?.line(in: "bad.lua") == 2)
    }

    @Test func errorsHaveATraceback() throws {
        let bench = try LuaBench()
        let source = "local function inner() error('oops') end\nfunction hook()\n  inner()\nend"
        #expect(try bench.run(source) == .failed)
        let error = bench.vm.lastError
        #expect(error.reason == .runtime)
        #expect(error.message == "test.lua:1: oops")
        #expect(error.traceback.contains("test.lua:3: in function"))
        #expect(error.line(in: "test.lua") == 1)
    }

    @Test func errorValuesThatAreNoTextAreUnspecified() throws {
        #expect(try LuaBench().evaluate("error({})") == "error: unspecified lua error")
        #expect(try LuaBench().evaluate("error()") == "error: unspecified lua error")
    }

    @Test func absentHooksAreNilAndOtherValuesAreRefused() throws {
        let bench = try LuaBench()
        let file = try bench.vm.load(Array("other = 5".utf8), name: "t.lua")
        #expect(try bench.vm.function("hook", in: file) == nil)
        #expect(throws: LuaError.self) { try bench.vm.function("other", in: file) }
    }

    @Test func coroutinesAreReusedAfterErrors() throws {
        let bench = try LuaBench()
        let bad = try bench.hook("function hook() local x <close> = nil error('x') end")
        let good = try bench.hook("function hook() host.log('ok') end")
        for _ in 0..<100 {
            #expect(bench.call(bad) == .failed)
            #expect(bench.call(good) == .finished)
        }
        #expect(bench.lines.count == 100)
    }

    @Test func bareYieldIsAnError() throws {
        #expect(try LuaBench().evaluate("coroutine.yield()") == "error: script performed an unexpected yield")
        #expect(try LuaBench().evaluate("host.log(coroutine.wrap(function() coroutine.yield(4) end)())") == "4")
    }

    @Test func whatAWaitWasCalledWithIsCollectedMeanwhile() throws {
        let bench = try LuaBench()
        let hook = try bench.hook(
            """
            function hook()
              host.log(host.waitWith({{body = ('x'):rep(1 << 20)}}, ('y'):rep(1 << 20)))
            end
            """)
        bench.vm.collectGarbage()
        let before = bench.vm.memoryInUse
        guard case .waiting(let thread) = bench.call(hook) else {
            Issue.record("the hook does not wait")
            return
        }
        bench.vm.collectGarbage()
        #expect(bench.vm.memoryInUse < before + 65536)
        #expect(bench.vm.resume(thread, with: [.string("on")], scope: bench.scope) == .finished)
        #expect(bench.lines == ["on"])
    }

    @Test func waitingCrossesPcallAndOwnCoroutines() throws {
        let bench = try LuaBench()
        let hook = try bench.hook(
            """
            function hook()
              local ok, a, b = pcall(host.wait)
              host.log(tostring(ok) .. a .. b)
              local c = coroutine.wrap(function() local got = host.wait() coroutine.yield(got .. '!') end)
              host.log(c())
              local ok, message = pcall(host.wait)
              host.log(tostring(ok) .. message)
            end
            """)
        guard case .waiting(let thread) = bench.call(hook) else {
            Issue.record("\(bench.vm.lastError)")
            return
        }
        #expect(bench.call(try bench.hook("function hook() host.log('between') end")) == .finished)
        let second = bench.vm.resume(thread, with: [.integer(1), .string("x")], scope: bench.scope)
        #expect(second == .waiting(thread))
        #expect(bench.vm.resume(thread, with: [.string("deep")], scope: bench.scope) == .waiting(thread))
        #expect(bench.vm.resume(thread, raising: "no answer", scope: bench.scope) == .finished)
        #expect(bench.lines == ["between", "true1x", "deep!", "falseno answer"])
    }

    @Test func nothingWaitsWhileLoadingOrInsideCFunctions() throws {
        let bench = try LuaBench()
        #expect(throws: LuaError.self) { try bench.vm.load(Array("host.wait()".utf8), name: "t.lua") }
        #expect(bench.vm.lastError.message == "t.lua:1: 'wait' may only be called in a hook")
        #expect(
            try bench.evaluate("table.sort({2, 1}, function() host.wait() end)").contains("cannot wait across a C-call")
        )
    }

    @Test func abandonedRunsNeverGoOn() throws {
        let bench = try LuaBench()
        let hook = try bench.hook("function hook() host.wait() host.log('never') end")
        guard case .waiting(let thread) = bench.call(hook) else { return }
        bench.vm.abandon(thread)
        #expect(bench.call(try bench.hook("function hook() host.log('next') end")) == .finished)
        #expect(bench.lines == ["next"])
    }

    @Test func stopEndsTheHookInsidePcallToo() throws {
        let bench = try LuaBench()
        let bodies = [
            "host.stop()", "pcall(host.stop)", "xpcall(host.stop, print)", "coroutine.wrap(host.stop)()",
            "pcall(coroutine.wrap(function() pcall(host.stop) host.log('no') end))",
            "('x'):gsub('x', host.stop)", "pcall(table.sort, {2, 1}, host.stop)",
            "pcall(coroutine.resume, coroutine.create(function() table.sort({2, 1}, host.stop) end))",
        ]
        for body in bodies {
            let outcome = try bench.run("function hook() \(body) host.log('after') end")
            #expect(outcome == .stopped, "\(body): \(bench.vm.lastError)")
        }
        #expect(bench.lines.isEmpty)
        #expect(try bench.evaluate("host.log(tostring(pcall(error, 'x')))") == "false")
    }

    @Test func protectedCallsBehaveAsUsual() throws {
        let bench = try LuaBench()
        #expect(try bench.evaluate("host.log(select('#', pcall(function() return 1, nil end)))") == "3")
        #expect(try bench.evaluate("local ok, m = pcall(error, 'm', 0) host.log(tostring(ok) .. m)") == "falsem")
        #expect(
            try bench.evaluate(
                "local ok, m = xpcall(function(a) error(a, 0) end, function(e) return e .. '!' end, 'x') host.log(tostring(ok) .. m)"
            )
                == "falsex!")
        #expect(
            try bench.evaluate("host.log(select(2, xpcall(function(...) return select('#', ...) end, print, 1, 2)))")
                == "2")
        #expect(
            try bench.evaluate(
                "local c = coroutine.create(function(a) local b = coroutine.yield(a + 1) error(b, 0) end) local _, x = coroutine.resume(c, 1) local ok, e = coroutine.resume(c, 'end') host.log(x .. tostring(ok) .. e .. coroutine.status(c))"
            )
                == "2falseenddead")
        #expect(try bench.evaluate("local c = coroutine.wrap(function() error('w') end) c()").contains("test.lua:2: w"))
    }

    @Test func hundredThousandRunsNeedNoMemory() throws {
        let bench = try LuaBench()
        let hook = try bench.hook("function hook(box) box:iterators() box:iterators() end")
        for _ in 0..<1000 { bench.call(hook) }
        bench.vm.collectGarbage()
        bench.call(hook)
        let memory = bench.vm.memoryInUse
        let allocations = bench.vm.allocationCount
        for _ in 0..<100_000 { bench.call(hook) }
        #expect(bench.vm.allocationCount == allocations)
        #expect(bench.vm.memoryInUse <= memory)
    }
}
