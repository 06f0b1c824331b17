import MoongateConfig

/// What is known of an expression.
struct LuaFact {
    /// The class of the object that it gives.
    var type: String?
    /// The library or the library's member that it names: `moon.json`.
    var library: String?
    /// A text that stands in the source.
    var text: String?
    /// The kind of a value that stands in the source as such.
    var literal: LuaLiteral?
    /// The class or library, and the name of the function that it names: `Handle.respond`.
    var function: String?
    /// It is a number that `/` or `^` made.
    var divides = false
    var isConstant = false
    var isNil = false
    /// A name alone that is being assigned to.
    var name: String?
    var isAssignable = false
    var isCall = false
    var line = 0
}

/// Resolves names and compares what a file uses with what there is.
struct LuaChecker {
    enum Kind {
        case variable, function, parameter, loop
    }

    private struct Local {
        var name: String
        var line: Int
        var kind: Kind
        var fact: LuaFact
        var isFixed: Bool
        var isUsed = false
    }

    private struct Global {
        var line: Int
        var isWritten = false
        var isRead = false
        /// Assigned at the top of the file, outside of every function.
        var isDeclared = false
    }

    private let api: LintAPI
    /// It has Envoy's hooks, so that it finds the names of Lua 5.1.
    private let isEnvoys: Bool
    private var scopes: [[Local]] = []
    private var functionDepth = 0
    private var globals: [String: Global] = [:]
    private(set) var findings: [LintFinding] = []
    /// Functions that the file makes local outside of other functions, with their lines.
    private(set) var localFunctions: [String: Int] = [:]
    /// Whether the file has timers, which run without a hook.
    private var usesTimers = false
    /// Whether the file gives something back, as modules do.
    var hasResult = false
    /// What the file puts into libraries itself.
    var assignedMembers: Set<String> = []
    /// The lines of each statement.
    private(set) var statements: [Set<Int>] = []

    init(_ api: LintAPI, isEnvoys: Bool) {
        self.api = api
        self.isEnvoys = isEnvoys
    }

    mutating func addStatement(_ lines: Set<Int>) { if !lines.isEmpty { statements.append(lines) } }

    private mutating func warn(_ line: Int, _ message: String, hint: String? = nil) {
        findings.append(LintFinding(line: line, message: message, hint: hint))
    }

    private mutating func fault(_ line: Int, _ message: String, hint: String? = nil) {
        findings.append(LintFinding(line: line, message: message, hint: hint, severity: .fault))
    }

    var globalLines: [String: Int] { globals.filter(\.value.isWritten).mapValues(\.line) }

    // MARK: Scopes

    mutating func openScope() { scopes.append([]) }

    mutating func closeScope() {
        for local in scopes.removeLast() where !local.isUsed && !local.name.hasPrefix("_") {
            switch local.kind {
            case .variable: warn(local.line, "the local \(local.name) is never used")
            case .function where api.hooks[local.name] != nil && functionDepth == 0:
                fault(
                    local.line, "the hook \(local.name) is local, so that it never runs",
                    hint: "hooks are global functions: leave out `local`")
            case .function: warn(local.line, "the function \(local.name) is never used")
            case .loop: warn(local.line, "the loop's \(local.name) is never used", hint: "call it _")
            case .parameter: break
            }
        }
    }

    mutating func openFunction() {
        functionDepth += 1
        openScope()
    }

    mutating func closeFunction() {
        closeScope()
        functionDepth -= 1
    }

    mutating func declare(_ name: String, _ line: Int, _ kind: Kind, _ fact: LuaFact = LuaFact(), isFixed: Bool = false)
    {
        if kind == .function && functionDepth == 0 { localFunctions[name] = line }
        var known = LuaFact()
        known.type = fact.type
        known.library = fact.library
        scopes[scopes.count - 1].append(Local(name: name, line: line, kind: kind, fact: known, isFixed: isFixed))
    }

    /// What a parameter of a function is: by an annotation, as a hook's, or by the names that everybody gives handles.
    func parameter(_ name: String, _ index: Int, _ hook: String?, _ notes: [String: String]) -> LuaFact {
        var type = notes[name]
        if type == nil, let hook, let types = api.hooks[hook], index < types.count { type = types[index] }
        if type == nil && ["handle", "request_handle", "response_handle"].contains(name) { type = "Handle" }
        return LuaFact(type: type.flatMap { api.classes[$0] == nil ? nil : $0 })
    }

    private func find(_ name: String) -> (scope: Int, index: Int)? {
        for scope in scopes.indices.reversed() {
            if let index = scopes[scope].lastIndex(where: { $0.name == name }) { return (scope, index) }
        }
        return nil
    }

    // MARK: Names

    mutating func read(_ name: String, _ line: Int) -> LuaFact {
        if let place = find(name) {
            scopes[place.scope][place.index].isUsed = true
            var fact = scopes[place.scope][place.index].fact
            fact.name = name
            fact.isAssignable = true
            return fact
        }
        globals[name, default: Global(line: line)].isRead = true
        let isLibrary = LuaLibrary.members[name] != nil || api.modules.contains(name)
        return LuaFact(library: isLibrary || isCallable(name) ? name : nil, name: name, isAssignable: true)
    }

    private func isCallable(_ name: String) -> Bool { name == "require" }

    /// - Returns: why it cannot be assigned to; `nil`: it can.
    @discardableResult
    mutating func assign(_ name: String, _ line: Int, _ fact: LuaFact) -> String? {
        if let place = find(name) {
            if scopes[place.scope][place.index].isFixed { return "attempt to assign to const variable '\(name)'" }
            scopes[place.scope][place.index].fact = LuaFact()
            return nil
        }
        var global = globals[name] ?? Global(line: line)
        if !global.isWritten { global.line = line }
        global.isWritten = true
        if functionDepth == 0 { global.isDeclared = true }
        globals[name] = global
        return nil
    }

    mutating func assignMember(_ name: String, _ path: String, _ line: Int) {
        _ = read(name, line)
        assignedMembers.insert(path)
    }

    // MARK: Members and calls

    mutating func member(
        _ owner: LuaFact, _ name: String, _ line: Int, isAssigned: Bool, isCalled: Bool
    ) -> LuaFact {
        if let type = owner.type, let methods = api.classes[type], isCalled, methods[name] != nil {
            warn(
                line, "\(type)'s \(name) is a method",
                hint: "call it with a colon: \(owner.name ?? "object"):\(name)(…)")
        }
        guard let library = owner.library else { return LuaFact(isAssignable: true) }
        let path = "\(library).\(name)"
        if path == "moon.timer" { usesTimers = true }
        if isAssigned {
            return LuaFact(library: path, isAssignable: true)
        }
        if !assignedMembers.contains(path) { checkMember(library, name, path, line) }
        return LuaFact(library: path, function: path, isAssignable: true)
    }

    private mutating func checkMember(_ library: String, _ name: String, _ path: String, _ line: Int) {
        if let known = LuaLibrary.members[library] {
            guard !known.contains(name), api.members[path] == nil else { return }
            if let instead = LuaLibrary.replaced[path] {
                if !isEnvoys { warn(line, "\(path) is gone since Lua 5.1", hint: "use \(instead)") }
                return
            }
            if library == "os" || path == "string.dump" { return warn(line, "\(path) is closed in policies") }
            return warn(line, "there is no \(path)", hint: Spelling.suggestion(for: name, among: known.sorted()))
        }
        guard isLibrary(library), api.members[path] == nil, !isLibrary(path) else { return }
        let prefix = library + "."
        let known = api.members.keys.filter { $0.hasPrefix(prefix) }
            .compactMap { $0.dropFirst(prefix.count).split(separator: ".").first.map(String.init) }
        warn(line, "there is no \(path)", hint: Spelling.suggestion(for: name, among: Set(known).sorted()))
    }

    private func isLibrary(_ path: String) -> Bool { api.members.keys.contains { $0.hasPrefix(path + ".") } }

    mutating func method(_ owner: LuaFact, _ name: String, _ line: Int) -> LuaFact {
        guard let type = owner.type, let methods = api.classes[type] else { return LuaFact(isCall: true) }
        guard let result = methods[name] else {
            warn(
                line, "a \(type) has no method \(name)",
                hint: Spelling.suggestion(for: name, among: methods.keys.sorted()))
            return LuaFact(isCall: true)
        }
        return LuaFact(type: api.classes[result] == nil ? nil : result, isCall: true)
    }

    /// Compares arguments that stand in the source with what a method of `owner` takes.
    mutating func checkArguments(of owner: LuaFact, _ method: String, _ arguments: [LuaFact], _ line: Int) {
        if let type = owner.type { checkArguments("\(type).\(method)", method, arguments, line) }
    }

    private mutating func checkArguments(_ function: String, _ name: String, _ arguments: [LuaFact], _ line: Int) {
        guard let signature = api.signatures[function] else { return }
        for (index, (argument, taken)) in zip(arguments, signature.parameters).enumerated() {
            guard let literal = argument.literal, !taken.isEmpty, !taken.contains(literal) else { continue }
            let wanted = taken.filter { $0 != .nil }.map(\.rawValue).sorted().joined(separator: " or ")
            warn(
                line, "argument \(index + 1) of \(name) is a \(literal.rawValue), and must be a \(wanted)",
                hint: "\(name)\(signature.text)")
        }
    }

    mutating func call(_ callee: LuaFact, _ arguments: [LuaFact], _ line: Int) -> LuaFact {
        let first = arguments.first
        if let function = callee.function, !assignedMembers.contains(function) {
            checkArguments(function, function, arguments, line)
        }
        guard let library = callee.library else { return LuaFact(isCall: true) }
        if library == "require", let module = first?.text {
            if module == "ffi" { warn(line, "there is no ffi", hint: "policies cannot call C") }
            if module == "bit" && !isEnvoys {
                warn(line, "there is no bit since Lua 5.1", hint: "use the operators & | ~ << >>")
            }
            return LuaFact(library: api.modules.contains(module) ? module : nil, isCall: true)
        }
        let result = api.members[library]
        return LuaFact(type: result.flatMap { api.classes[$0] == nil ? nil : $0 }, isCall: true)
    }

    mutating func combine(_ left: LuaFact, _ symbol: String, _ right: LuaFact, _ line: Int) -> LuaFact {
        let isConstant = left.isConstant && right.isConstant
        switch symbol {
        case "/", "^": return LuaFact(divides: true, isConstant: isConstant)
        case "+", "-", "*", "%": return LuaFact(divides: left.divides || right.divides, isConstant: isConstant)
        case "..":
            if isEnvoys && (left.divides || right.divides) {
                warn(
                    line, "a quotient in a text has a \".0\" that Lua 5.1 left out",
                    hint: "write math.floor(…), or // for whole numbers")
            }
            return LuaFact(isConstant: isConstant)
        default: return LuaFact(isConstant: isConstant)
        }
    }

    // MARK: The end

    /// What can only be said of the whole file.
    mutating func finish() {
        checkHooks()
        let known = LuaLibrary.globals.union(LuaLibrary.members.keys).union(api.globals).union(api.modules)
        for (name, global) in globals {
            if global.isWritten {
                finish(name, global, known)
            } else if !known.contains(name) {
                finishUndefined(name, global.line, known)
            }
        }
        findings.sort { ($0.line, $0.message) < ($1.line, $1.message) }
    }

    /// Names that can define globals in ways that cannot be followed.
    private static let indirect: Set<String> = [
        "_G", "_ENV", "load", "loadstring", "rawset", "setfenv", "setmetatable",
    ]

    private mutating func checkHooks() {
        guard api.needsHooks, !hasResult, !globals.contains(where: { $0.value.isWritten && api.hooks[$0.key] != nil }),
            !globals.contains(where: { !$0.value.isWritten && LuaChecker.indirect.contains($0.key) }),
            !globals.contains(where: { $0.value.isWritten && HookSpelling.looksLikeHook($0.key) }),
            !findings.contains(where: { $0.severity == .fault }), !usesTimers
        else { return }
        let hooks = api.hooks.keys.sorted()
        let near = globals.filter(\.value.isWritten).keys.sorted().lazy.compactMap { name in
            HookSpelling.meant(by: name, hooks: hooks).map { (name, $0) }
        }.first
        fault(
            near.flatMap { globals[$0.0]?.line } ?? 1, "the file has no hooks, so nothing of it ever runs",
            hint: near.map { "did you mean \"\($0.1)\" by \($0.0)?" }
                ?? "the hooks are \(hooks.joined(separator: ", "))")
    }

    private mutating func finish(_ name: String, _ global: Global, _ known: Set<String>) {
        if api.hooks[name] != nil || known.contains(name) { return }
        if HookSpelling.looksLikeHook(name), global.isDeclared, !api.hooks.isEmpty {
            return fault(
                global.line, "there is no hook \(name)",
                hint: HookSpelling.hint(for: name, hooks: api.hooks.keys.sorted()))
        }
        if !global.isDeclared {
            warn(
                global.line, "the global \(name) is set within a function",
                hint: "is `local` missing? Otherwise give it a value at the top of the file")
        } else if !global.isRead {
            let hooks = Spelling.suggestion(for: name, among: api.hooks.keys.sorted())
            warn(global.line, "the global \(name) is never used", hint: hooks ?? "make it local")
        }
    }

    private mutating func finishUndefined(_ name: String, _ line: Int, _ known: Set<String>) {
        if let reason = LuaLibrary.refused[name] { return warn(line, "there is no \(name)", hint: reason) }
        if LuaLibrary.closed.contains(name) { return warn(line, "\(name) is closed in policies") }
        if let instead = LuaLibrary.replaced[name] {
            if !isEnvoys { warn(line, "\(name) is gone since Lua 5.1", hint: "use \(instead)") }
            return
        }
        warn(line, "there is no \(name)", hint: Spelling.suggestion(for: name, among: known.sorted()))
    }
}
