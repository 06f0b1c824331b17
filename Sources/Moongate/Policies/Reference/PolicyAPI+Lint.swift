import MoongateLint

/// The API as the linter of policy files wants it.
extension PolicyAPI {
    public static let lint = makeLint()

    private static func makeLint() -> LintAPI {
        let classNames = Set(classes.map(\.name))
        let result = { (function: Function) -> String in
            let first = function.parsed?.results.first ?? ""
            let plain = first.hasSuffix("?") ? String(first.dropLast()) : first
            return classNames.contains(plain) ? plain : ""
        }
        var methods: [String: [String: String]] = [:]
        for item in classes {
            methods[item.name] = Dictionary(item.functions.map { ($0.name, result($0)) }, uniquingKeysWith: { $1 })
        }
        var members: [String: String] = [:]
        var globals: Set<String> = []
        for library in libraries {
            for function in library.functions {
                if library.name.isEmpty { globals.insert(function.name) }
                members[library.name.isEmpty ? function.name : "\(library.name).\(function.name)"] = result(function)
            }
            for constant in library.constants { members["\(library.name).\(constant.name)"] = "" }
        }
        let hooks = Dictionary(
            self.hooks.map { hook in
                (hook.name, (try? LuaFunctionType(parsing: hook.type))?.parameters.map(\.type) ?? [])
            }, uniquingKeysWith: { $1 })
        return LintAPI(
            classes: methods, members: members, hooks: hooks, globals: globals,
            modules: Set(libraries.map(\.name).filter { !$0.isEmpty }))
    }
}
