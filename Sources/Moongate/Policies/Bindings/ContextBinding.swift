import CMoongate
import MoongateLua

/// What `handle:ctx()` holds for all policies of a request: strings, numbers and booleans under string keys. Of other values it knows
/// only which policy has them.
struct SharedContext {
    enum Value: Equatable {
        case bool(Bool)
        case integer(Int64)
        case number(Double)
        case text([UInt8])
        /// It lies in the script engine of an instance's policy.
        case kept(by: Unmanaged<PolicyEngine>)

        var size: Int { if case .text(let bytes) = self { bytes.count } else { 0 } }

        /// `nil`: it is kept elsewhere.
        var value: LuaValue? {
            switch self {
            case .bool(let bool): .bool(bool)
            case .integer(let integer): .integer(integer)
            case .number(let number): .number(number)
            case .text(let bytes): .bytes(bytes)
            case .kept: nil
            }
        }

        static func == (one: Value, other: Value) -> Bool {
            switch (one, other) {
            case (.bool(let one), .bool(let other)): one == other
            case (.integer(let one), .integer(let other)): one == other
            case (.number(let one), .number(let other)): one == other
            case (.text(let one), .text(let other)): one == other
            case (.kept(let one), .kept(let other)): one.toOpaque() == other.toOpaque()
            default: false
            }
        }
    }

    /// Most keys, and bytes of all keys and texts.
    static let mostKeys = 256
    static let mostBytes = 64 << 10

    private(set) var values: [[UInt8]: Value] = [:]
    private var bytes = 0

    subscript(key: Bytes) -> Value? { values[Array(key.buffer)] }

    /// - Parameter value: `nil` removes.
    /// - Returns: false: there is no room.
    mutating func set(_ key: Bytes, _ value: Value?) -> Bool {
        let key = Array(key.buffer)
        let old = values[key].map { key.count + $0.size } ?? 0
        let new = value.map { key.count + $0.size } ?? 0
        if value != nil, old == 0, values.count >= SharedContext.mostKeys { return false }
        guard new <= old || bytes - old + new <= SharedContext.mostBytes else { return false }
        bytes += new - old
        values[key] = value
        return true
    }
}

/// The host's side of `handle:ctx()`.
enum ContextBinding {
    static let read: mg_leaf = { call in
        guard let run = call.run, let value = run.context?[call.bytes(0)] else { return MG_RETURN }
        if case .kept(let engine) = value {
            guard engine.toOpaque() == run.currentEngine.toOpaque() else {
                let owner = engine._withUnsafeGuaranteedRef { $0.unit.file.chunkName }
                return call.fail(
                    "the value lies with the policy \(known: owner): policies share strings, numbers and booleans only")
            }
            call.giveMark(MG_OTHER)
        } else {
            give(value, to: call)
        }
        return MG_RETURN
    }

    static let write: mg_leaf = { call in
        guard let run = call.run else { return MG_RETURN }
        if run.context == nil { run.context = SharedContext() }
        guard run.context?.set(call.bytes(0), value(of: call, run)) == true else {
            return call.fail(
                "ctx is full (\(SharedContext.mostKeys) keys, \(SharedContext.mostBytes) bytes of keys and strings)")
        }
        return MG_RETURN
    }

    static let list: mg_leaf = { call in
        let shared = call.run?.pointer.pointee.context?.values ?? [:]
        return call.give(
            .table(
                shared.compactMap { key, value in
                    value.value.map { LuaValue.Entry(.bytes(key), $0) }
                }))
    }

    private static func value(of call: BindingCall, _ run: PolicyRun) -> SharedContext.Value? {
        let value = call.pointee.arguments[1]
        return switch value.kind {
        case MG_NIL: nil
        case MG_BOOLEAN: .bool(value.boolean)
        case MG_INTEGER: .integer(value.integer)
        case MG_NUMBER: .number(value.number)
        case MG_STRING: .text(Array(call.bytes(1).buffer))
        default: .kept(by: run.currentEngine)
        }
    }

    private static func give(_ value: SharedContext.Value, to call: BindingCall) {
        switch value {
        case .bool(let bool): call.give(bool)
        case .integer(let integer): call.give(integer)
        case .number(let number): call.give(number)
        case .text(let bytes): call.give(copyOfBytes: bytes)
        case .kept: call.giveNil()
        }
    }
}
