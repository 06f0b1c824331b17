import CMoongate
import MoongateLua

/// One call of a script into a binding: its arguments, and where results go.
typealias BindingCall = UnsafeMutablePointer<mg_call>

extension UnsafeMutablePointer where Pointee == mg_call {
    // MARK: Who

    /// The engine whose script calls. Leaves without one cannot happen: it is set before any file is loaded.
    var engine: PolicyEngine? {
        pointee.context.map { Unmanaged<PolicyEngine>.fromOpaque($0).takeUnretainedValue() }
    }

    /// The worker's part; `nil` while the policy is loaded.
    var host: PolicyHost? { engine?.host }

    /// The run whose hook calls; `nil` while loading and initialising.
    @inline(__always) var run: PolicyRun? { PolicyRun(opaque: pointee.scope) }

    /// What the method was called on.
    @inline(__always) func native<Native>(as type: Native.Type) -> UnsafeMutablePointer<Native>? {
        pointee.object?.pointee.native?.assumingMemoryBound(to: type)
    }

    // MARK: Arguments

    /// A string argument; empty if it is absent. Until the leaf returns.
    @inline(__always) func bytes(_ index: Int) -> Bytes {
        let value = pointee.arguments[index]
        guard value.kind == MG_STRING, let base = value.bytes else { return .empty }
        return Bytes(base, Int(value.size))
    }

    /// A function, which the leaf takes over unless it fails.
    func function(_ index: Int) -> LuaReference {
        LuaReference(raw: Int32(truncatingIfNeeded: pointee.arguments[index].integer))
    }

    @inline(__always) func integer(_ index: Int) -> Int64 { pointee.arguments[index].integer }
    @inline(__always) func isAbsent(_ index: Int) -> Bool { pointee.arguments[index].kind == MG_NIL }

    /// A table or any other plain value; `nil` if it is or holds a function, thread or object.
    func value(_ index: Int) -> LuaValue? { LuaValue(pointee.arguments[index], tape: pointee.input) }

    // MARK: Results

    @inline(__always) func give(_ bytes: Bytes) {
        var value = mg_value()
        value.kind = MG_STRING
        value.size = UInt32(truncatingIfNeeded: bytes.count)
        value.bytes = bytes.base
        _ = mg_tape_push(pointee.output, value)
    }

    func give(_ integer: Int64) {
        var value = mg_value()
        value.kind = MG_INTEGER
        value.integer = integer
        _ = mg_tape_push(pointee.output, value)
    }

    func give(_ number: Double) {
        var value = mg_value()
        value.kind = MG_NUMBER
        value.number = number
        _ = mg_tape_push(pointee.output, value)
    }

    func give(_ bool: Bool) {
        var value = mg_value()
        value.kind = MG_BOOLEAN
        value.boolean = bool
        _ = mg_tape_push(pointee.output, value)
    }

    func giveNil() { giveMark(MG_NIL) }

    /// A value without content: MG_NIL, MG_LIST, MG_TABLE, MG_END, MG_SCOPE_TABLE.
    func giveMark(_ kind: mg_kind) {
        var value = mg_value()
        value.kind = kind
        _ = mg_tape_push(pointee.output, value)
    }

    @inline(__always) func give(_ object: UnsafeMutablePointer<mg_object>?) {
        guard let object else { return giveNil() }
        var value = mg_value()
        value.kind = MG_OBJECT
        value.object = UnsafeMutableRawPointer(object)
        _ = mg_tape_push(pointee.output, value)
    }

    /// A function that calls the method `name` of what this was called on.
    func giveMethod(_ name: StaticString) {
        var value = mg_value()
        value.kind = MG_METHOD
        value.bytes = Bytes(name).base
        _ = mg_tape_push(pointee.output, value)
    }

    func give(reference: Int32) {
        var value = mg_value()
        value.kind = MG_REFERENCE
        value.integer = Int64(reference)
        _ = mg_tape_push(pointee.output, value)
    }

    /// A copy of the text; at most one for each call.
    func give(copyOf text: String) {
        text.withBytes { bytes in
            guard let copy = mg_call_scratch(self, max(1, bytes.count)) else { return giveNil() }
            copy.update(from: bytes.base, count: bytes.count)
            give(Bytes(UnsafePointer(copy), bytes.count))
        }
    }

    /// A copy of the bytes; at most one for each call.
    func give(copyOfBytes bytes: [UInt8]) {
        guard let copy = mg_call_scratch(self, max(1, bytes.count)) else { return giveNil() }
        bytes.withUnsafeBufferPointer { if let base = $0.baseAddress { copy.update(from: base, count: $0.count) } }
        give(Bytes(UnsafePointer(copy), bytes.count))
    }

    /// Any value; at most one for each call.
    func give(_ value: LuaValue) -> mg_action {
        let manager = LuaTextKeeper()
        guard value.write(to: pointee.output, keeping: manager) else { return fail("the value is too large") }
        engine?.manager = manager
        return MG_RETURN
    }

    /// Any values.
    func give(all values: [LuaValue]) -> mg_action {
        let manager = LuaTextKeeper()
        let isComplete = values.allSatisfy { $0.write(to: pointee.output, keeping: manager) }
        guard isComplete else { return fail("the values are too large") }
        engine?.manager = manager
        return MG_RETURN
    }

    // MARK: Time

    /// Does work of the host's whose time is not the script's.
    func withoutClock<Result, Failure: Error>(_ work: () throws(Failure) -> Result) throws(Failure) -> Result {
        mg_call_stop_clock(self)
        defer { mg_call_start_clock(self) }
        return try work()
    }

    // MARK: Errors

    /// Raises a script error.
    func fail(_ message: CallMessage) -> mg_action { fail(telling: message.description) }

    /// Raises a script error whose message may quote: about files of the configuration, which no request can name, and in specs.
    func fail(telling message: String) -> mg_action { message.withBytes { mg_call_fail(self, $0.base, $0.count) } }
}
