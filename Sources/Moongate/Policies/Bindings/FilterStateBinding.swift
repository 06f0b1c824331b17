import CMoongate
import MoongateLua

/// Texts that policies leave for later hooks of the same exchange: Envoy's filter state, as far as scripts can fill it.
final class FilterState {
    /// What all texts of one exchange may weigh in bytes.
    private static let limit = 256 << 10

    private var values: [String: String] = [:]
    private var weight = 0

    subscript(name: String) -> String? { values[name] }

    /// False: with this text there would be too much, and nothing has changed.
    func set(_ name: String, _ value: String) -> Bool {
        let freed = values[name].map { FilterState.weight(name, $0) } ?? 0
        let changed = weight - freed + FilterState.weight(name, value)
        guard changed <= FilterState.limit else { return false }
        weight = changed
        values[name] = value
        return true
    }

    private static func weight(_ name: String, _ value: String) -> Int { 64 + name.utf8.count + value.utf8.count }
}

/// `streamInfo():filterState()`.
enum FilterStateBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.filterState, name: "filter state",
            summary: "Texts that policies leave for later hooks of the same request, by name.", bindings: bindings)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "get", "ss?", type: "(name: string, field?: string): string?",
                doc: "The text; nil if there is none. A text has no fields: with `field` the result is nil.", get),
            LuaBinding(
                "set", "sss", type: "(name: string, factory: string, value: string)",
                doc: """
                    Keeps a text. `factory` is `envoy.string` or `envoy.hashable_string`, as in Envoy; others raise \
                    an error. A text takes the place of the one that its name had. All texts of a request may take 256 KiB \
                    together, with 64 bytes for each name; one that does not fit raises an error and changes nothing.
                    """, set),
        ]
    }

    private static let get: mg_leaf = { call in
        let name = call.bytes(0).string
        guard call.isAbsent(1), let value = call.run?.pointer.pointee.filterState?[name] else {
            call.giveNil()
            return MG_RETURN
        }
        call.give(copyOf: value)
        return MG_RETURN
    }

    private static let set: mg_leaf = { call in
        guard let run = call.run else { return MG_RETURN }
        let factory = call.bytes(1)
        guard factory.equals("envoy.string") || factory.equals("envoy.hashable_string") else {
            return call.fail("'(hidden)' does not have an object factory")
        }
        if run.filterState == nil { run.filterState = FilterState() }
        let state = run.filterState
        guard state?.set(call.bytes(0).string, call.bytes(2).string) ?? false else {
            return call.fail(
                "filterState would hold more than 256 KiB for this request: use fewer names or smaller values")
        }
        return MG_RETURN
    }
}
