import CMoongate
import Testing

@testable import MoongateLua

/// Arguments, results and objects across the fence.
@Suite struct LuaBindingTests {
    @Test(arguments: [
        ("box:take(nil)", "bad argument #1 to 'take' (string expected, got nil)"),
        ("box:take()", "bad argument #1 to 'take' (string expected, got no value)"),
        ("box:take({})", "bad argument #1 to 'take' (string expected, got table)"),
        ("box:take('a', true)", "bad argument #2 to 'take' (string expected, got boolean)"),
        ("box:take('a', 'b', 1.5)", "bad argument #3 to 'take' (integer expected, got number)"),
        ("box.take('a')", "calling 'take' on bad self (box expected, got string)"),
        ("box.take(host.nested.counter())", "calling 'take' on bad self (box expected, got userdata)"),
        ("host.types('x')", "bad argument #1 to 'types' (number expected, got string)"),
        ("host.types(1, 2, 3)", "bad argument #3 to 'types' (boolean expected, got number)"),
        ("host.types(1, 2, true, 4)", "bad argument #4 to 'types' (table expected, got number)"),
        ("host.echo()", "bad argument #1 to 'echo' (value expected, got no value)"),
        ("host.echo(print)", "no plain value"),
        ("host.echo({print})", "no plain value"),
        ("pairs(host.nested.counter())", "counter has no pairs"),
    ])
    func wrongArgumentsAreNamed(call: String, message: String) throws {
        #expect(try LuaBench().evaluate(call) == "error: test.lua:2: " + message)
    }

    @Test(arguments: [
        ("3", "3"), ("10 / 2", "5"), ("2.5", "2.5"), ("2^53", "9.007199254741e+15"), ("-0.0", "-0"),
        ("1 << 62", "4611686018427387904"), ("'text'", "text"), ("1e3", "1000"),
    ])
    func numbersArePrintedWithoutNeedlessFractions(expression: String, printed: String) throws {
        #expect(try LuaBench().evaluate("box:take(\(expression))") == printed)
    }

    @Test func valuesCrossBothWays() throws {
        let bench = try LuaBench()
        let result = try bench.evaluate(
            """
            local t = host.echo({a = {1, 2, {b = true}}, [5] = 2.5, s = 'x\\0y', e = {}})
            host.log(t.a[3].b and t.a[2] .. t[5] .. #t.s .. type(t.e))
            host.log(tostring(host.echo(nil)) .. tostring(host.echo(false)))
            """)
        #expect(result == "22.53table|nilfalse")
        #expect(
            bench.values.first??["a"] == .list([.integer(1), .integer(2), .table([.init(.string("b"), .bool(true))])]))
        #expect(bench.values.first??["e"] == .table([]))
    }

    @Test func tablesAreBounded() throws {
        let bench = try LuaBench(milliseconds: 10_000)
        #expect(try bench.evaluate("local t = {} t.t = t host.echo(t)").contains("table too deep"))
        #expect(
            try bench.evaluate("local t = {} for i = 1, 140000 do t[i] = i end host.echo(t)").contains(
                "table too large")
        )
    }

    @Test func aDeadObjectSaysSo() throws {
        let bench = try LuaBench()
        let hook = try bench.hook(
            """
            function hook(box)
              if kept then kept:take('x') end
              kept = box
            end
            """)
        #expect(bench.call(hook) == .finished)
        bench.vm.end(bench.scope)
        let other = UnsafeMutablePointer<mg_scope>.allocate(capacity: 1)
        defer { other.deallocate() }
        other.initialize(to: mg_scope(native: nil, generation: 1, turn: 0, table: 0, locals: 0))
        let object = try bench.vm.makeObject(class: 1, scope: other, native: nil)
        mg_object_arm(object)
        let outcome = bench.vm.start(hook, argument: LuaReference(raw: object.pointee.reference), scope: other)
        #expect(outcome == .failed)
        #expect(bench.vm.lastError.message == "test.lua:2: object used outside of proper scope")
    }

    @Test func theScopesTableLivesAsLongAsTheScope() throws {
        let bench = try LuaBench()
        let hook = try bench.hook("function hook(box) local t = box:table() t.n = (t.n or 0) + 1 host.log(t.n) end")
        bench.call(hook)
        bench.call(hook)
        bench.vm.end(bench.scope)
        bench.call(hook)
        #expect(bench.lines == ["1", "2", "1"])
    }

    @Test func pairsWalksAnObjectAndEndsWithTheLoop() throws {
        let bench = try LuaBench()
        #expect(try bench.evaluate("for k, v in pairs(box) do host.log(k * v) end") == "1|4|9")
        #expect(
            try bench.evaluate("for _ in pairs(box) do host.log(box:iterators()) break end host.log(box:iterators())")
                == "1|0")
        #expect(
            try bench.evaluate(
                "for _ in pairs(box) do host.log(select(2, pcall(pairs, box))) break end host.log(box:iterators())")
                == "cannot create a second iterator before completing the first|0")
        #expect(
            try bench.evaluate("pcall(function() for _ in pairs(box) do error() end end) host.log(box:iterators())")
                == "0")
    }

    @Test func objectsOfScriptsAreReleasedWithThem() throws {
        let bench = try LuaBench()
        #expect(try bench.evaluate("host.log(host.nested.counter():value())") == "42")
        _ = try bench.evaluate("for i = 1, 1000 do host.nested.counter() end")
        bench.vm.collectGarbage()
    }
}
