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
            modules: Set(libraries.map(\.name).filter { !$0.isEmpty }), signatures: signatures())
    }

    private static func signatures() -> [String: LintSignature] {
        var signatures: [String: LintSignature] = [:]
        func add(_ owner: String, _ function: Function) {
            guard let parsed = function.parsed else { return }
            signatures[owner.isEmpty ? function.name : "\(owner).\(function.name)"] = LintSignature(
                text: "(" + parsed.parameters.map(written).joined(separator: ", ") + ")",
                parameters: parsed.parameters.prefix { $0.name != "..." }.map(literals))
        }
        for item in classes { for function in item.functions { add(item.name, function) } }
        for library in libraries { for function in library.functions { add(library.name, function) } }
        return signatures
    }

    private static func written(_ parameter: LuaFunctionType.Parameter) -> String {
        "\(parameter.name)\(parameter.isOptional ? "?" : ""): \(parameter.type)"
    }

    /// The kinds of literals that a parameter takes; empty: any.
    private static func literals(_ parameter: LuaFunctionType.Parameter) -> Set<LuaLiteral> {
        var kinds: Set<LuaLiteral> = parameter.isOptional ? [.nil] : []
        for member in LuaFunctionType.members(of: parameter.type) {
            guard let kind = literal(member) else { return [] }
            kinds.insert(kind)
        }
        return kinds
    }

    private static func literal(_ type: String) -> LuaLiteral? {
        if type.hasPrefix("\"") { return .string }
        if type.hasPrefix("{") || type.hasPrefix("table") || type.hasSuffix("[]") { return .table }
        if type.hasPrefix("fun(") { return .function }
        switch type {
        case "number", "integer": return .number
        case "true", "false": return .boolean
        default: return LuaLiteral(rawValue: type)
        }
    }
}
