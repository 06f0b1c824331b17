import CMoongate

/// One Lua virtual machine: sandboxed, bounded in memory, and every run in it bounded in CPU time.
///
/// Owned by one thread at a time; it may be built on one thread and then be moved whole to another. All that
/// Lua may raise stays on the C side: nothing here unwinds a Swift frame.
public final class LuaVM {
    /// What a VM may use.
    public struct Limits: Sendable, Equatable {
        /// Bytes held at any time.
        public var memory: Int
        /// CPU time of one run (a hook up to its end or its next wait), in milliseconds; kept to some 10 ms.
        public var milliseconds: UInt32
        public init(memory: Int = 64 << 20, milliseconds: UInt32 = 50) {
            self.memory = memory
            self.milliseconds = milliseconds
        }
    }

    public let limits: Limits
    private let vm: OpaquePointer
    /// Kept as long as the VM is counted there.
    var pool: LuaMemoryPool?
    var pointer: OpaquePointer { vm }

    /// - Throws: `LuaError` when `limits.memory` is not enough for the libraries (some 100 KiB).
    public init(limits: Limits = Limits()) throws(LuaError) {
        guard let vm = mg_lua_open(max(0, limits.memory), limits.milliseconds) else { throw .outOfMemory }
        self.vm = vm
        self.limits = limits
    }

    deinit {
        mg_lua_join_pool(vm, nil)
        guard let closer else { return mg_lua_close(vm) }
        let address = UInt(bitPattern: vm)
        closer { if let vm = OpaquePointer(bitPattern: address) { mg_lua_close(vm) } }
    }

    /// Takes the closing of the VM over, on any thread; `nil`: it is closed by whoever gives it up. The objects that
    /// scripts own are released there as well.
    public var closer: ((@escaping @Sendable () -> Void) -> Void)?

    /// What the last failing call left.
    public var lastError: LuaError { LuaError(mg_lua_failure(vm)) }

    /// What leaves find as `context`. Not retained.
    public func setContext(_ context: UnsafeMutableRawPointer?) { mg_lua_set_context(vm, context) }

    // MARK: Definitions

    /// Defines class `kind` (1 to 63) of the objects that are lent to scripts.
    ///
    /// - Parameters:
    ///   - iterate: one step of `pairs(object)`; a step without results ends the loop.
    ///   - release: frees the native part of an object that scripts own, when it is collected.
    public func define(
        class kind: UInt16, name: StaticString, bindings: [LuaBinding], iterate: mg_leaf? = nil,
        release: (@convention(c) (UnsafeMutableRawPointer) -> Void)? = nil
    ) throws(LuaError) {
        let records = bindings.map(\.record)
        guard mg_lua_define_class(vm, kind, name.cString, records, Int32(records.count), iterate, release) else {
            throw lastError
        }
    }

    /// Lets objects of a class that was defined stand for strings in parameters that take that (`d` and `r`).
    public func define(bytes: mg_bytes, ofClass kind: UInt16) { mg_lua_define_bytes(vm, kind, bytes) }

    /// Defines functions that every file finds in the global table `library`, and through `require`; with an
    /// empty name as plain globals. Dots in a function's name make nested tables.
    public func define(library: StaticString, bindings: [LuaBinding]) throws(LuaError) {
        let records = bindings.map(\.record)
        guard mg_lua_define_library(vm, library.cString, records, Int32(records.count)) else { throw lastError }
    }

    /// Defines a whole number in a library.
    public func define(constant name: StaticString, _ value: Int64, in library: StaticString) throws(LuaError) {
        guard mg_lua_define_constant(vm, library.cString, name.cString, value) else { throw lastError }
    }

    /// Lets `os.getenv` show a variable.
    public func define(variable name: String, _ value: String) throws(LuaError) {
        guard mg_lua_define_variable(vm, name, value) else { throw lastError }
    }

    /// Has every line reported before it runs, for measuring coverage; `nil` ends that.
    public func setLineHook(_ hook: mg_line_hook?, context: UnsafeMutableRawPointer? = nil) {
        mg_lua_set_line_hook(vm, hook, context)
    }

    /// Defines JSON's null in a library; dots in the name lead into nested tables.
    public func define(null name: StaticString, in library: StaticString) throws(LuaError) {
        guard mg_lua_define_null(vm, library.cString, name.cString) else { throw lastError }
    }

    /// Takes what scripts print: the first argument, one line.
    public func setPrint(_ leaf: mg_leaf) { mg_lua_set_print(vm, leaf) }

    /// Gives scopes contexts that other VMs see as well, see `mg_context_leaves`.
    public func setContextLeaves(read: mg_leaf, write: mg_leaf, list: mg_leaf) {
        mg_lua_set_context_leaves(vm, mg_context_leaves(read: read, write: write, list: list))
    }

    /// Finds modules for `require`: the first argument is the name; results are source and chunk name, or none.
    public func setModuleSource(_ leaf: mg_leaf) { mg_lua_set_module_source(vm, leaf) }

    // MARK: Values

    /// An object of class `kind` that works only while `scope` runs; it lives as long as the VM.
    public func makeObject(
        class kind: UInt16, scope: UnsafeMutablePointer<mg_scope>, native: UnsafeMutableRawPointer?
    ) throws(LuaError) -> UnsafeMutablePointer<mg_object> {
        guard let object = mg_lua_new_object(vm, kind, scope, native) else { throw lastError }
        return object
    }

    /// Takes an object of `makeObject` back: every later use of it raises.
    public func end(_ object: LuaObject) { mg_lua_end_object(vm, object) }

    /// A read-only Lua table.
    ///
    /// - Parameter value: a list or table.
    public func makeTable(_ value: LuaValue) throws(LuaError) -> LuaReference {
        let tape = mg_lua_results(vm)
        let keeper = LuaTextKeeper()
        guard value.write(to: tape, keeping: keeper) else { throw .outOfMemory }
        let reference = withExtendedLifetime(keeper) { mg_lua_new_table(vm, tape) }
        guard reference != 0 else { throw lastError }
        return LuaReference(raw: reference)
    }

    /// Gives back a function that a script handed over.
    public func release(_ function: LuaReference) { mg_lua_release(vm, function.raw) }

    /// Ends a scope's use: its table is given back and every object handed out for it is dead.
    public func end(_ scope: UnsafeMutablePointer<mg_scope>) {
        scope.pointee.generation &+= 1
        if scope.pointee.table != 0 || scope.pointee.locals != 0 { mg_lua_end_scope(vm, scope) }
    }

    // MARK: Files

    /// Compiles a source text with globals of its own and runs its main chunk.
    ///
    /// - Parameters:
    ///   - name: how messages call the file; Lua shows the last 60 characters.
    ///   - milliseconds: CPU time of the main chunk; `nil`: that of every other run.
    public func load(
        _ source: [UInt8], name: String, milliseconds: UInt32? = nil
    ) throws(LuaError) -> LuaFile {
        let globals = source.withUnsafeBufferPointer { bytes in
            withUnsafePointer(to: UInt8(0)) { empty in
                mg_lua_load(
                    vm, bytes.baseAddress ?? empty, bytes.count, name, milliseconds ?? limits.milliseconds)
            }
        }
        guard globals != 0 else { throw lastError }
        return LuaFile(globals: LuaReference(raw: globals), name: name)
    }

    /// A global function of a file; `nil` if the file has none of that name.
    public func function(_ name: String, in file: LuaFile) throws(LuaError) -> LuaReference? {
        let reference = mg_lua_function(vm, file.globals.raw, name)
        guard reference != -1 else {
            throw LuaError(reason: .runtime, message: "\(file.name): '\(name)' is not a function")
        }
        return reference == 0 ? nil : LuaReference(raw: reference)
    }

    /// The names of a file's global functions, in no order.
    public func functionNames(in file: LuaFile) throws(LuaError) -> [String] {
        let tape = mg_lua_results(vm)
        guard mg_lua_function_names(vm, file.globals.raw, tape) else { throw lastError }
        return (0..<Int(tape.pointee.count)).compactMap { index in
            guard let value = tape.pointee.values?[index], let bytes = value.bytes else { return nil }
            return String(decoding: UnsafeBufferPointer(start: bytes, count: Int(value.size)), as: UTF8.self)
        }
    }

    /// Another reference to a file's function, with a limit on CPU time of its own.
    public func limited(_ function: LuaReference, milliseconds: UInt32) throws(LuaError) -> LuaReference {
        let reference = mg_lua_limited(vm, function.raw, milliseconds)
        guard reference != 0 else { throw lastError }
        return LuaReference(raw: reference)
    }

    /// Limits the CPU time of a function that a leaf has taken over.
    public func limit(_ function: LuaReference, milliseconds: UInt32) {
        mg_lua_limit(vm, function.raw, milliseconds)
    }

    /// A function that takes a handle and calls `hook` with it and each message that `handle:grpcMessages()` gives.
    public func messageLoop(over hook: LuaReference) throws(LuaError) -> LuaReference {
        let reference = mg_lua_message_loop(vm, hook.raw)
        guard reference != 0 else { throw lastError }
        return LuaReference(raw: reference)
    }

    // MARK: Running

    /// Runs a function in a pooled coroutine.
    ///
    /// - Parameters:
    ///   - scope: what the run belongs to; `nil` while loading and initialising, when nothing may wait.
    ///   - argument: the function's argument: an object's or a table's reference.
    public func start(
        _ function: LuaReference, argument: LuaReference? = nil, scope: UnsafeMutablePointer<mg_scope>? = nil
    ) -> LuaOutcome {
        var waiting: OpaquePointer?
        let outcome = mg_lua_start(vm, scope, function.raw, argument?.raw ?? 0, &waiting)
        return LuaOutcome(outcome, waiting)
    }

    /// Goes on with a waiting run. `results` are what the function that waited returns.
    public func resume(
        _ thread: LuaThread, with results: [LuaValue], scope: UnsafeMutablePointer<mg_scope>
    ) -> LuaOutcome {
        let tape = mg_lua_results(vm)
        let keeper = LuaTextKeeper()
        for value in results {
            guard value.write(to: tape, keeping: keeper) else {
                return resume(thread, raising: "the results are too large", scope: scope)
            }
        }
        return withExtendedLifetime(keeper) { LuaOutcome(mg_lua_resume(vm, scope, thread.raw, nil), thread.raw) }
    }

    /// Goes on with a waiting run: the function that waited returns `object`, or nil.
    public func resume(
        _ thread: LuaThread, with object: LuaObject?, scope: UnsafeMutablePointer<mg_scope>
    ) -> LuaOutcome {
        var value = mg_value()
        if let object {
            value.kind = MG_OBJECT
            value.object = UnsafeMutableRawPointer(object)
        }
        guard mg_tape_push(mg_lua_results(vm), value) else {
            return resume(thread, raising: "not enough memory", scope: scope)
        }
        return LuaOutcome(mg_lua_resume(vm, scope, thread.raw, nil), thread.raw)
    }

    /// Goes on with a waiting run by an error: the function that waited raises `message`.
    public func resume(
        _ thread: LuaThread, raising message: String, scope: UnsafeMutablePointer<mg_scope>
    ) -> LuaOutcome {
        LuaOutcome(mg_lua_resume(vm, scope, thread.raw, message), thread.raw)
    }

    /// Gives up a waiting run: it never goes on.
    public func abandon(_ thread: LuaThread) { mg_lua_abandon(vm, thread.raw) }
}
