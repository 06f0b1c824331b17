import CMoongate
import MoongateLua

/// `moon.dict(name, options)`: keys and values that all workers share.
enum DictBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.dict, name: "dict",
            summary: """
                Keys and values that all workers share and that survive reloads, made by `moon.dict`. Each call is one \
                step for all workers. Keys are texts of up to 65,535 bytes.
                """, bindings: methods, release: release)
    }

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "dict", "=st?", type: "(name: string, options?: {max?: integer, bytes?: integer, ttl?: number}): Dict",
                doc: """
                    The shared dict of this name: policies that name the same dict share it. `max` entries (10,000) \
                    and `bytes` (16 MiB) bound it, `ttl` is how many seconds a value lives (for ever). When it is full, \
                    what was used longest ago makes room. While policies load and in `on_init`; hooks find the dicts \
                    that were made there.
                    """, constructs: PolicyClasses.dict, make)
        ]
    }

    private static var methods: [LuaBinding] {
        [
            LuaBinding(
                "get", "s", type: "(key: string): string|number|boolean|table|nil",
                doc: "The value, a table as a copy; nil if there is none or it has expired.", get),
            LuaBinding(
                "set", "svn?", type: "(key: string, value: string|number|boolean|table|nil, ttl?: number): boolean",
                doc: """
                    Sets a value for `ttl` seconds (0: for ever; absent: as the dict says). nil removes it. False only \
                    if the value does not fit into the dict.
                    """
            ) { DictBinding.write($0, .set) },
            LuaBinding(
                "add", "svn?", type: "(key: string, value: string|number|boolean|table, ttl?: number): boolean",
                doc: "As `set`, but only if there is no value yet; whether it was set."
            ) { DictBinding.write($0, .add) },
            LuaBinding(
                "replace", "svn?", type: "(key: string, value: string|number|boolean|table, ttl?: number): boolean",
                doc: "As `set`, but only if there is a value; whether it was set."
            ) { DictBinding.write($0, .replace) },
            LuaBinding(
                "incr", "sv?v?n?", type: "(key: string, by?: number, initial?: number, ttl?: number): number",
                doc: """
                    Adds `by` (1) to a number and gives the sum. A missing value counts as `initial` (0) and then \
                    lives for `ttl` seconds; one that is there keeps its time. Integers stay integers. An error if \
                    the value is no number.
                    """, increment),
            LuaBinding(
                "delete", "s", type: "(key: string): boolean", doc: "Removes a value; whether there was one.", delete),
            LuaBinding(
                "ttl", "s", type: "(key: string): number?",
                doc: "Seconds that a value still lives; 0: for ever; nil: there is none.", life),
            LuaBinding(
                "expire", "sn", type: "(key: string, ttl: number): boolean",
                doc: "Has a value live for `ttl` seconds from now, 0: for ever; whether there is one.", expire),
            LuaBinding(
                "keys", "i?", type: "(limit?: integer): string[]",
                doc: "Up to `limit` (1,024) keys in no order: for looking in, not for requests.", keys),
            LuaBinding(
                "flush", "", type: "()", doc: "Removes everything, and what limits that name the dict have counted.",
                flush),
            LuaBinding(
                "count", "", type: "(): integer",
                doc: "How many entries there are, those included that have expired unnoticed.", count),
        ]
    }

    // MARK: Making

    private static let make: mg_leaf = { call in
        guard let engine = call.engine else { return MG_RETURN }
        let name = call.bytes(0)
        guard SharedName.isValid(name) else {
            return call.fail("moon.dict: a name has letters, digits, '.', '_', ':', '/' and '-', at most 128")
        }
        do throws(StateFault) {
            let dict: SharedDict
            if let known = engine.resources.dicts[name.string], call.isAbsent(1) {
                dict = known
            } else if call.run != nil {
                return call.fail(
                    "moon.dict: hooks find dicts that were made while the policies loaded; make it there")
            } else {
                dict = try engine.resources.dict(name.string, call.isAbsent(1) ? nil : try limits(call))
            }
            call.pointee.created = Unmanaged.passRetained(dict).toOpaque()
            return MG_RETURN
        } catch {
            return call.fail("moon.dict: \(error.message)")
        }
    }

    private static func limits(_ call: BindingCall) throws(StateFault) -> SharedDict.Limits {
        var limits = SharedDict.Limits()
        guard let options = call.value(1) else { throw StateFault("options must be plain values") }
        for (name, value) in try options.options() {
            switch (name, value) {
            case ("max", .integer(let entries)) where (1...10_000_000).contains(entries): limits.entries = Int(entries)
            case ("max", _): throw StateFault("max must be a whole number from 1 to 10000000")
            case ("bytes", .integer(let bytes)) where (1024...(64 << 30)).contains(bytes): limits.bytes = Int(bytes)
            case ("bytes", _): throw StateFault("bytes must be a whole number from 1024 to 64 GiB")
            case ("ttl", let value):
                guard let seconds = value.double, let life = nanoseconds(seconds) else {
                    throw StateFault("ttl must be a number of seconds, not negative")
                }
                limits.life = life
            default: throw StateFault(.unknown("option", name, among: ["bytes", "max", "ttl"]))
            }
        }
        return limits
    }

    private static let release: @convention(c) (UnsafeMutableRawPointer) -> Void = {
        Unmanaged<SharedDict>.fromOpaque($0).release()
    }

    // MARK: Arguments

    @inline(__always) private static func dict(_ call: BindingCall) -> SharedDict? {
        call.pointee.object?.pointee.native.map { Unmanaged<SharedDict>.fromOpaque($0).takeUnretainedValue() }
    }

    /// `nil`: not a time to live. Beyond a hundred years there is no difference.
    private static func nanoseconds(_ seconds: Double) -> UInt64? {
        guard seconds >= 0 else { return nil }
        return seconds == 0 ? 0 : max(1, UInt64(min(seconds, 3.2e9) * 1e9))
    }

    /// The time to live that stands at `index`.
    private static func life(_ call: BindingCall, _ index: Int) -> Result<UInt64?, StateFault> {
        if call.isAbsent(index) { return .success(nil) }
        guard let life = nanoseconds(call.pointee.arguments[index].number) else {
            return .failure(StateFault("a ttl is a number of seconds, not negative"))
        }
        return .success(life)
    }

    private static func isKey(_ key: Bytes) -> Bool { key.count <= SharedDict.longestKey }

    private static func refuseKey(_ call: BindingCall) -> mg_action {
        call.fail("the key is longer than \(SharedDict.longestKey) bytes")
    }

    // MARK: Methods

    private static let get: mg_leaf = { call in
        guard let dict = dict(call) else { return MG_RETURN }
        var isFound = false
        dict.read(call.bytes(0)) { value in isFound = give(call, value) }
        if !isFound { call.giveNil() }
        return MG_RETURN
    }

    /// Copies what the shard lends. False: there is no memory for it, or it is no value for scripts.
    private static func give(_ call: BindingCall, _ value: DictValue) -> Bool {
        switch value.kind {
        case .boolean: call.give(value.bits != 0)
        case .integer: call.give(Int64(bitPattern: value.bits))
        case .number: call.give(Double(bitPattern: value.bits))
        case .text, .table:
            guard let copy = mg_call_scratch(call, max(1, value.bytes.count)) else { return false }
            copy.update(from: value.bytes.base, count: value.bytes.count)
            let bytes = Bytes(UnsafePointer(copy), value.bytes.count)
            if value.kind == .text { call.give(bytes) } else { DictTape.decode(bytes, to: call.pointee.output) }
        }
        return true
    }

    private static func write(_ call: BindingCall, _ mode: DictShard.Mode) -> mg_action {
        guard let dict = dict(call) else { return MG_RETURN }
        let key = call.bytes(0)
        guard isKey(key) else { return refuseKey(call) }
        guard case .success(let life) = life(call, 2) else {
            return call.fail("a ttl is a number of seconds, not negative")
        }
        let value = call.pointee.arguments[1]
        var stored: DictValue
        switch value.kind {
        case MG_NIL where mode == .set:
            _ = dict.remove(key)
            call.give(true)
            return MG_RETURN
        case MG_BOOLEAN: stored = DictValue(kind: .boolean, bits: value.boolean ? 1 : 0)
        case MG_INTEGER: stored = DictValue(integer: value.integer)
        case MG_NUMBER: stored = DictValue(number: value.number)
        case MG_STRING: stored = DictValue(kind: .text, bytes: call.bytes(1))
        case MG_TABLE:
            guard let bytes = DictTape.encode(call.pointee.input, from: Int(value.integer)) else {
                return call.fail("a dict keeps texts, numbers, booleans and tables of them")
            }
            return bytes.withUnsafeBufferPointer { buffer in
                let bytes = buffer.baseAddress.map { Bytes($0, buffer.count) } ?? .empty
                return finish(call, dict.write(key, DictValue(kind: .table, bytes: bytes), mode, life: life))
            }
        default: return call.fail("a dict keeps texts, numbers, booleans and tables of them")
        }
        return finish(call, dict.write(key, stored, mode, life: life))
    }

    private static func finish(_ call: BindingCall, _ outcome: DictShard.Outcome) -> mg_action {
        call.give(outcome == .done)
        return MG_RETURN
    }

    /// A number argument; `nil`: it is something else.
    private static func amount(_ call: BindingCall, _ index: Int, otherwise: Int64) -> DictValue? {
        let value = call.pointee.arguments[index]
        switch value.kind {
        case MG_NIL: return DictValue(integer: otherwise)
        case MG_INTEGER: return DictValue(integer: value.integer)
        case MG_NUMBER: return DictValue(number: value.number)
        default: return nil
        }
    }

    private static let increment: mg_leaf = { call in
        guard let dict = dict(call) else { return MG_RETURN }
        let key = call.bytes(0)
        guard isKey(key) else { return refuseKey(call) }
        guard let step = amount(call, 1, otherwise: 1), let initial = amount(call, 2, otherwise: 0) else {
            return call.fail("incr adds numbers")
        }
        guard case .success(let life) = life(call, 3) else {
            return call.fail("a ttl is a number of seconds, not negative")
        }
        switch dict.increment(key, by: step, initial: initial, life: life) {
        case .value(let sum): _ = give(call, sum)
        case .notANumber: return call.fail("the value of the key is no number")
        case .tooLarge: return call.fail("the key does not fit into the dict")
        }
        return MG_RETURN
    }

    private static let delete: mg_leaf = { call in
        guard let dict = dict(call) else { return MG_RETURN }
        call.give(dict.remove(call.bytes(0)))
        return MG_RETURN
    }

    private static let life: mg_leaf = { call in
        guard let dict = dict(call) else { return MG_RETURN }
        if let left = dict.life(of: call.bytes(0)) { call.give(Double(left) / 1e9) } else { call.giveNil() }
        return MG_RETURN
    }

    private static let expire: mg_leaf = { call in
        guard let dict = dict(call) else { return MG_RETURN }
        guard let life = nanoseconds(call.pointee.arguments[1].number) else {
            return call.fail("a ttl is a number of seconds, not negative")
        }
        call.give(dict.expire(call.bytes(0), life: life))
        return MG_RETURN
    }

    private static let keys: mg_leaf = { call in
        guard let dict = dict(call) else { return MG_RETURN }
        let limit = call.isAbsent(0) ? 1024 : Int(clamping: call.integer(0))
        var (texts, ends): ([UInt8], [Int]) = ([], [])
        dict.keys(limit: limit) { key in
            texts.append(contentsOf: key.buffer)
            ends.append(texts.count)
        }
        guard let copy = mg_call_scratch(call, max(1, texts.count)) else { return call.fail("not enough memory") }
        texts.withUnsafeBufferPointer { if let base = $0.baseAddress { copy.update(from: base, count: $0.count) } }
        call.giveMark(MG_LIST)
        var start = 0
        for end in ends {
            call.give(Bytes(UnsafePointer(copy) + start, end - start))
            start = end
        }
        call.giveMark(MG_END)
        return MG_RETURN
    }

    private static let flush: mg_leaf = { call in
        dict(call)?.flush()
        return MG_RETURN
    }

    private static let count: mg_leaf = { call in
        call.give(Int64(dict(call)?.figures.entries ?? 0))
        return MG_RETURN
    }
}

/// Names of shared things.
enum SharedName {
    static func isValid(_ name: Bytes) -> Bool {
        guard !name.isEmpty && name.count <= 128 else { return false }
        return name.buffer.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "._:/-".utf8.contains(byte)
            }
        }
    }
}

extension LuaValue {
    /// The entries of a table of options.
    func options() throws(StateFault) -> [(String, LuaValue)] {
        guard case .table(let entries) = self else { throw StateFault("options are a table with names") }
        var options: [(String, LuaValue)] = []
        for entry in entries {
            guard case .string(let name) = entry.key else { throw StateFault("options are a table with names") }
            options.append((name, entry.value))
        }
        return options
    }

    /// A number, whole or not.
    var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
}
