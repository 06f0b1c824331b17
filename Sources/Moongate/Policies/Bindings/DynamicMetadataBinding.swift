import CMoongate
import MoongateLua

/// Values that scripts leave for later hooks of the same exchange, by namespace and key.
///
/// Each value weighs what it is now: one that takes the place of another frees that, so that a stream may note its progress
/// as long as it lives.
final class DynamicMetadata {
    /// What all values of one exchange may weigh, roughly in bytes.
    static let limit = 256 << 10

    private struct Namespace {
        let name: String
        var entries: [LuaValue.Entry] = []
        var weights: [Int] = []
        /// Where each key's entry lies.
        var places: [String: Int] = [:]
    }

    private var spaces: [Namespace] = []
    private var weight = 0

    var count: Int { spaces.count }

    func entries(of name: String) -> [LuaValue.Entry]? { spaces.first { $0.name == name }?.entries }

    func namespace(_ index: Int) -> (name: String, entries: [LuaValue.Entry]) {
        (spaces[index].name, spaces[index].entries)
    }

    /// False: with this value there would be too much, and nothing has changed.
    func set(_ name: String, _ key: String, _ value: LuaValue) -> Bool {
        let added = 64 + key.utf8.count + DynamicMetadata.weight(value)
        let known = spaces.firstIndex { $0.name == name }
        let place = known.flatMap { spaces[$0].places[key] }
        let freed = if let known, let place { spaces[known].weights[place] } else { 0 }
        let ofNamespace = known == nil ? 64 + name.utf8.count : 0
        guard weight - freed + added + ofNamespace <= DynamicMetadata.limit else { return false }
        weight += added + ofNamespace - freed
        if known == nil { spaces.append(Namespace(name: name)) }
        let space = known ?? spaces.count - 1
        let entry = LuaValue.Entry(.string(key), value)
        if let place {
            spaces[space].entries[place] = entry
            spaces[space].weights[place] = added
        } else {
            spaces[space].places[key] = spaces[space].entries.count
            spaces[space].entries.append(entry)
            spaces[space].weights.append(added)
        }
        return true
    }

    private static func weight(_ value: LuaValue) -> Int {
        switch value {
        case .string(let text): 32 + text.utf8.count
        case .bytes(let bytes): 32 + bytes.count
        case .list(let values): values.reduce(32) { $0 + weight($1) }
        case .table(let entries): entries.reduce(32) { $0 + weight($1.key) + weight($1.value) }
        default: 32
        }
    }
}

/// `streamInfo():dynamicMetadata()`.
enum DynamicMetadataBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.dynamicMetadata, name: "dynamic metadata",
            summary: "Values that policies leave for later hooks of the same request, by namespace and key.",
            bindings: bindings, iterate: step)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "get", "s", type: "(namespace: string): table?",
                doc: "A copy of the namespace's values; nil if nothing was set there.", get),
            LuaBinding(
                "set", "ssv", type: "(namespace: string, key: string, value: any)",
                doc: """
                    Sets one value: nil, boolean, number, text, list, or table with text keys. A value takes the \
                    place of the one that its key had. All values of a request may take 256 KiB together, with 64 bytes for \
                    each key; one that does not fit raises an error and changes nothing.
                    """, set),
        ]
    }

    /// A copy of the namespace's values.
    private static let get: mg_leaf = { call in
        let name = call.bytes(0).string
        guard let entries = call.run?.pointer.pointee.dynamicMetadata?.entries(of: name) else {
            call.giveNil()
            return MG_RETURN
        }
        return call.give(.table(entries))
    }

    private static let set: mg_leaf = { call in
        guard let run = call.run else { return MG_RETURN }
        guard let value = call.value(2) else {
            return call.fail("unexpected type '\(known: foreignType(call))' in dynamicMetadata")
        }
        if let type = foreignKey(value) {
            return call.fail("unexpected type \(known: type) in table key (only string keys are supported)")
        }
        if run.dynamicMetadata == nil { run.dynamicMetadata = DynamicMetadata() }
        let metadata = run.dynamicMetadata
        guard metadata?.set(call.bytes(0).string, call.bytes(1).string, value) ?? false else {
            return call.fail(
                "dynamicMetadata would hold more than 256 KiB for this request: use fewer keys or smaller values")
        }
        return MG_RETURN
    }

    /// Gives namespace and table in turn.
    static let step: mg_leaf = { call in
        let position = Int(call.pointee.position)
        guard let metadata = call.run?.pointer.pointee.dynamicMetadata, position < metadata.count else {
            return MG_RETURN
        }
        call.pointee.position += 1
        let space = metadata.namespace(position)
        let manager = LuaTextKeeper()
        let isComplete =
            LuaValue.string(space.name).write(to: call.pointee.output, keeping: manager)
            && LuaValue.table(space.entries).write(to: call.pointee.output, keeping: manager)
        guard isComplete else { return call.fail("dynamicMetadata has grown too large") }
        call.engine?.manager = manager
        return MG_RETURN
    }

    /// The type of the first thing that is no plain value.
    private static func foreignType(_ call: BindingCall) -> String {
        let tape = call.pointee.input.pointee
        var values = [call.pointee.arguments[2]]
        for index in 0..<Int(tape.count) { if let value = tape.values?[index] { values.append(value) } }
        guard let foreign = values.first(where: { $0.kind == MG_OTHER }), let name = foreign.bytes else { return "nil" }
        return String(cString: name)
    }

    private static func foreignKey(_ value: LuaValue) -> String? {
        switch value {
        case .list(let values): values.lazy.compactMap(foreignKey).first
        case .table(let entries):
            entries.lazy.compactMap { entry in
                switch entry.key {
                case .string: foreignKey(entry.value)
                case .bool: "boolean"
                default: "number"
                }
            }.first
        default: nil
        }
    }
}
