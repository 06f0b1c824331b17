import CMoongate
import Testing

@testable import MoongateLua

/// A VM with a small library and one object, as a host would have them.
final class LuaBench {
    let vm: LuaVM
    let scope: UnsafeMutablePointer<mg_scope>
    let box: UnsafeMutablePointer<mg_object>
    /// What scripts gave to `host.log` and `print`.
    var lines: [String] = []
    var values: [LuaValue?] = []
    /// Texts of results that Lua has not taken yet.
    var kept: LuaTextKeeper?

    init(memory: Int = 8 << 20, milliseconds: UInt32 = 50) throws {
        vm = try LuaVM(limits: .init(memory: memory, milliseconds: milliseconds))
        scope = .allocate(capacity: 1)
        scope.initialize(to: mg_scope(native: nil, generation: 1, turn: 0, table: 0, locals: 0))
        try vm.define(class: 1, name: "box", bindings: LuaBench.boxBindings, iterate: LuaBench.stepLeaf)
        try vm.define(
            class: 2, name: "counter",
            bindings: [LuaBinding("value", "", type: "(): integer", doc: "", LuaBench.counterLeaf)],
            release: { Unmanaged<AnyObject>.fromOpaque($0).release() })
        try vm.define(library: "host", bindings: LuaBench.hostBindings)
        box = try vm.makeObject(class: 1, scope: scope, native: nil)
        vm.setPrint(LuaBench.logLeaf)
        vm.setModuleSource(LuaBench.moduleLeaf)
        vm.setContext(Unmanaged.passUnretained(self).toOpaque())
    }

    deinit { scope.deallocate() }

    /// Loads `source` and runs its `hook` with the box.
    @discardableResult func run(_ source: String, hook: String = "hook") throws -> LuaOutcome {
        let file = try vm.load(Array(source.utf8), name: "test.lua")
        let function = try #require(try vm.function(hook, in: file))
        return call(function)
    }

    @discardableResult func call(_ function: LuaReference) -> LuaOutcome {
        mg_object_arm(box)
        return vm.start(function, argument: LuaReference(raw: box.pointee.reference), scope: scope)
    }

    func hook(_ source: String) throws -> LuaReference {
        let file = try vm.load(Array(source.utf8), name: "test.lua")
        return try #require(try vm.function("hook", in: file))
    }

    /// Runs an expression's statements and gives back what they logged, errors included.
    func evaluate(_ body: String) throws -> String {
        lines = []
        if try run("function hook(box)\n\(body)\nend") == .failed { return "error: " + vm.lastError.message }
        return lines.joined(separator: "|")
    }

    static func bench(_ call: UnsafeMutablePointer<mg_call>) -> LuaBench? {
        call.pointee.context.map { Unmanaged<LuaBench>.fromOpaque($0).takeUnretainedValue() }
    }

    static func text(_ value: mg_value) -> String {
        String(decoding: UnsafeBufferPointer(start: value.bytes, count: Int(value.size)), as: UTF8.self)
    }

    static let logLeaf: mg_leaf = { call in
        LuaBench.bench(call)?.lines.append(LuaBench.text(call.pointee.arguments[0]))
        return MG_RETURN
    }

    static let moduleLeaf: mg_leaf = { call in
        let name = LuaBench.text(call.pointee.arguments[0])
        guard name == "shared" else { return MG_RETURN }
        let manager = LuaTextKeeper()
        LuaBench.bench(call)?.kept = manager
        _ = LuaValue.string(
            "local name = ...; local function get() return host end; local function dialect() return tostring(10 / 2) end;"
                + " return { name = name, count = 0, get = get, dialect = dialect }"
        )
        .write(to: call.pointee.output, keeping: manager)
        _ = LuaValue.string("shared.lua").write(to: call.pointee.output, keeping: manager)
        return MG_RETURN
    }

    static let counterLeaf: mg_leaf = { call in
        var value = mg_value()
        value.kind = MG_INTEGER
        value.integer = 42
        _ = mg_tape_push(call.pointee.output, value)
        return MG_RETURN
    }

    /// Three steps: 1, 2, 3.
    static let stepLeaf: mg_leaf = { call in
        guard call.pointee.position < 3 else { return MG_RETURN }
        call.pointee.position += 1
        var value = mg_value()
        value.kind = MG_INTEGER
        value.integer = call.pointee.position
        _ = mg_tape_push(call.pointee.output, value)
        _ = mg_tape_push(call.pointee.output, value)
        return MG_RETURN
    }

    static var boxBindings: [LuaBinding] {
        [
            LuaBinding("take", "ss?i?", type: "(a: string, b?: string, c?: integer)", doc: "") { call in
                LuaBench.bench(call)?.lines.append(LuaBench.text(call.pointee.arguments[0]))
                return MG_RETURN
            },
            LuaBinding("iterators", "", type: "(): integer", doc: "") { call in
                var value = mg_value()
                value.kind = MG_INTEGER
                value.integer = Int64(call.pointee.object?.pointee.iterators ?? 0)
                _ = mg_tape_push(call.pointee.output, value)
                return MG_RETURN
            },
            LuaBinding("table", "", type: "(): table", doc: "") { call in
                var value = mg_value()
                value.kind = MG_SCOPE_TABLE
                _ = mg_tape_push(call.pointee.output, value)
                return MG_RETURN
            },
        ]
    }

    static var hostBindings: [LuaBinding] {
        [
            LuaBinding("log", "s", type: "(text: string)", doc: "", logLeaf),
            LuaBinding("echo", "v", type: "(value: any): any", doc: "") { call in
                guard let value = LuaValue(call.pointee.arguments[0], tape: call.pointee.input) else {
                    let message: StaticString = "no plain value"
                    return mg_call_fail(call, message.utf8Start, message.utf8CodeUnitCount)
                }
                LuaBench.bench(call)?.values.append(value)
                let manager = LuaTextKeeper()
                LuaBench.bench(call)?.kept = manager
                return value.write(to: call.pointee.output, keeping: manager) ? MG_RETURN : MG_STOP
            },
            LuaBinding("wait", "~", type: "()", doc: "") { _ in MG_WAIT },
            LuaBinding("waitWith", "~vv?", type: "(value: any, more?: any)", doc: "") { _ in MG_WAIT },
            LuaBinding("stop", "", type: "()", doc: "") { _ in MG_STOP },
            LuaBinding("types", "inbt?", type: "(i: integer, n: number, b: boolean, t?: table)", doc: "") { _ in
                MG_RETURN
            },
            LuaBinding("nested.counter", "", type: "(): table", doc: "", constructs: 2) { call in
                final class Counter {}
                call.pointee.created = Unmanaged<AnyObject>.passRetained(Counter()).toOpaque()
                return MG_RETURN
            },
        ]
    }
}
