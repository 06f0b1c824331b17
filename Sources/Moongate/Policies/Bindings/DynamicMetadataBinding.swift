import CMoongate
import MoongateLua

/// Values that scripts leave for later hooks of the same exchange, by namespace and key.
final class DynamicMetadata {
    /// What all values of one exchange may weigh, roughly in bytes.
    private static let limit = 256 << 10

    private(set) var namespaces: [(name: String, entries: [LuaValue.Entry])] = []
    private var weight = 0

    func entries(of name: String) -> [LuaValue.Entry]? { namespaces.first { $0.name == name }?.entries }

    /// False: too much is kept already.
    func set(_ name: String, _ key: String, _ value: LuaValue) -> Bool {
        weight += 64 + key.utf8.count + DynamicMetadata.weight(value)
        guard weight <= DynamicMetadata.limit else { return false }
        let space: Int
        if let known = namespaces.firstIndex(where: { $0.name == name }) {
            space = known
        } else {
            weight += 64 + name.utf8.count
            namespaces.append((name, []))
            space = namespaces.count - 1
        }
        let key = LuaValue.string(key)
        namespaces[space].entries.removeAll { $0.key == key }
        namespaces[space].entries.append(LuaValue.Entry(key, value))
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
                    Sets one value: nil, boolean, number, text, list, or table with text keys. All values of a request \
                    may take 256 KiB.
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
        if run.pointer.pointee.dynamicMetadata == nil { run.pointer.pointee.dynamicMetadata = DynamicMetadata() }
        let metadata = run.pointer.pointee.dynamicMetadata
        guard metadata?.set(call.bytes(0).string, call.bytes(1).string, value) ?? false else {
            return call.fail("dynamicMetadata has grown too large")
        }
        return MG_RETURN
    }

    /// Gives namespace and table in turn.
    static let step: mg_leaf = { call in
        let position = Int(call.pointee.position)
        guard let spaces = call.run?.pointer.pointee.dynamicMetadata?.namespaces, position < spaces.count else {
            return MG_RETURN
        }
        call.pointee.position += 1
        let keeper = LuaTextKeeper()
        let isComplete =
            LuaValue.string(spaces[position].name).write(to: call.pointee.output, keeping: keeper)
            && LuaValue.table(spaces[position].entries).write(to: call.pointee.output, keeping: keeper)
        guard isComplete else { return call.fail("dynamicMetadata has grown too large") }
        call.engine?.keeper = keeper
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
