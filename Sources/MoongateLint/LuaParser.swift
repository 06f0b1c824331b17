/// Reads a file by Lua's grammar (manual §9) and tells the checker what stands in it. Keeps no tree.
struct LuaParser {
    private var lexer: LuaLexer
    private(set) var token: LuaToken
    private var ahead: LuaToken?
    private var depth = 0
    /// Lines of the tokens of the statement that is being read, without those of the statements in it; one list for
    /// each level.
    private var lines: [Set<Int>] = [[]]
    private var functions: [FunctionState] = []
    var checker: LuaChecker

    private struct FunctionState {
        var isVariadic: Bool
        var loops = 0
        /// Visible labels by block, and jumps that wait for one.
        var blocks: [LabelBlock] = [LabelBlock()]
    }

    private struct LabelBlock {
        var labels: Set<String> = []
        var jumps: [(name: String, line: Int)] = []
    }

    /// As Lua's limit on nested C calls.
    private static let depthLimit = 190

    init(_ bytes: [UInt8], _ checker: LuaChecker) throws(LuaSyntaxFault) {
        lexer = LuaLexer(bytes)
        self.checker = checker
        token = try lexer.next()
    }

    mutating func parse() throws(LuaSyntaxFault) {
        functions.append(FunctionState(isVariadic: true))
        checker.openScope()
        try block()
        guard token.kind == .end else { throw unexpected() }
        try closeLabels()
        checker.closeScope()
    }

    // MARK: Tokens

    private mutating func advance() throws(LuaSyntaxFault) {
        lines[lines.count - 1].insert(token.line)
        if let next = ahead {
            token = next
            ahead = nil
        } else {
            token = try lexer.next()
        }
    }

    private mutating func take(_ symbol: String) throws(LuaSyntaxFault) -> Bool {
        guard token.symbol == symbol else { return false }
        try advance()
        return true
    }

    private mutating func expect(_ symbol: String) throws(LuaSyntaxFault) {
        if try !take(symbol) { throw fault("'\(symbol)' expected near \(shown)") }
    }

    private mutating func close(_ symbol: String, _ opening: String, _ line: Int) throws(LuaSyntaxFault) {
        if try take(symbol) { return }
        let place = line == token.line ? "" : " (to close '\(opening)' at line \(line))"
        throw fault("'\(symbol)' expected\(place) near \(shown)")
    }

    private mutating func name() throws(LuaSyntaxFault) -> String {
        guard case .name(let name) = token.kind else { throw fault("name expected near \(shown)") }
        try advance()
        return name
    }

    private var shown: String {
        switch token.kind {
        case .name(let name): "'\(name)'"
        case .symbol(let symbol): "'\(symbol)'"
        case .text(let text): "\"\(text.prefix(40))\""
        case .number: "a number"
        case .end: "<eof>"
        }
    }

    private func fault(_ message: String) -> LuaSyntaxFault { LuaSyntaxFault(line: token.line, message: message) }
    private func unexpected() -> LuaSyntaxFault { fault("unexpected symbol near \(shown)") }

    private mutating func deeper() throws(LuaSyntaxFault) {
        depth += 1
        if depth > LuaParser.depthLimit { throw fault("the code is nested too deeply") }
    }

    // MARK: Blocks

    private var endsBlock: Bool {
        switch token.symbol {
        case "else", "elseif", "end", "until": true
        default: token.kind == .end
        }
    }

    private mutating func block() throws(LuaSyntaxFault) {
        while !endsBlock {
            if token.symbol == "return" {
                return try statement(counted: true) { p throws(LuaSyntaxFault) in try p.returning() }
            }
            try statement()
        }
    }

    /// A block with a scope and labels of its own.
    private mutating func scoped(_ body: (inout LuaParser) throws(LuaSyntaxFault) -> Void) throws(LuaSyntaxFault) {
        checker.openScope()
        functions[functions.count - 1].blocks.append(LabelBlock())
        try body(&self)
        try closeLabels()
        checker.closeScope()
    }

    private mutating func loop(_ body: (inout LuaParser) throws(LuaSyntaxFault) -> Void) throws(LuaSyntaxFault) {
        functions[functions.count - 1].loops += 1
        try scoped(body)
        functions[functions.count - 1].loops -= 1
    }

    /// Jumps of the block that ends go to its labels, or on to the block around it.
    private mutating func closeLabels() throws(LuaSyntaxFault) {
        let last = functions.count - 1
        guard let ended = functions[last].blocks.popLast() else { return }
        let open = ended.jumps.filter { !ended.labels.contains($0.name) }
        guard !functions[last].blocks.isEmpty else {
            if let jump = open.first {
                throw LuaSyntaxFault(line: jump.line, message: "no visible label '\(jump.name)' for goto")
            }
            return
        }
        functions[last].blocks[functions[last].blocks.count - 1].jumps += open
    }

    // MARK: Statements

    /// Reads a statement; one that `counted` says has instructions of its own is a place that tests can reach.
    private mutating func statement(
        counted: Bool, _ body: (inout LuaParser) throws(LuaSyntaxFault) -> Void
    ) throws(LuaSyntaxFault) {
        lines.append([])
        try body(&self)
        let own = lines.removeLast()
        if counted { checker.addStatement(own) }
    }

    private mutating func statement() throws(LuaSyntaxFault) {
        try deeper()
        defer { depth -= 1 }
        let line = token.line
        switch token.symbol {
        case ";": try advance()
        case "if": try conditional(line)
        case "while": try whileLoop(line)
        case "do":
            try advance()
            try scoped { p throws(LuaSyntaxFault) in try p.block() }
            try close("end", "do", line)
        case "for": try forLoop(line)
        case "repeat": try repeatLoop(line)
        case "function": try functionStatement(line)
        case "local": try local()
        case "::": try label()
        case "break":
            try advance()
            guard functions[functions.count - 1].loops > 0 else {
                throw LuaSyntaxFault(line: line, message: "break outside a loop at line \(line) near \(shown)")
            }
        case "goto":
            try advance()
            let target = try name()
            let last = functions.count - 1
            functions[last].blocks[functions[last].blocks.count - 1].jumps.append((target, line))
        default: try statement(counted: true) { p throws(LuaSyntaxFault) in try p.expressionStatement() }
        }
    }

    private mutating func label() throws(LuaSyntaxFault) {
        try advance()
        let label = try name()
        try expect("::")
        let last = functions.count - 1
        if functions[last].blocks.contains(where: { $0.labels.contains(label) }) {
            throw fault("label '\(label)' already defined")
        }
        functions[last].blocks[functions[last].blocks.count - 1].labels.insert(label)
    }

    private mutating func returning() throws(LuaSyntaxFault) {
        try advance()
        if functions.count == 1 { checker.hasResult = true }
        if !endsBlock && token.symbol != ";" { _ = try expressions() }
        _ = try take(";")
        if !endsBlock { throw fault("'<eof>' expected near \(shown)") }
    }

    /// A condition, which is a place that tests can reach unless it is a constant.
    private mutating func condition(_ keyword: String) throws(LuaSyntaxFault) {
        lines.append([])
        try advance()
        let fact = try expression()
        let own = lines.removeLast()
        if !fact.isConstant { checker.addStatement(own) }
    }

    private mutating func conditional(_ line: Int) throws(LuaSyntaxFault) {
        try condition("if")
        try expect("then")
        try scoped { p throws(LuaSyntaxFault) in try p.block() }
        while token.symbol == "elseif" {
            try condition("elseif")
            try expect("then")
            try scoped { p throws(LuaSyntaxFault) in try p.block() }
        }
        if try take("else") { try scoped { p throws(LuaSyntaxFault) in try p.block() } }
        try close("end", "if", line)
    }

    private mutating func whileLoop(_ line: Int) throws(LuaSyntaxFault) {
        try condition("while")
        try expect("do")
        try loop { p throws(LuaSyntaxFault) in try p.block() }
        try close("end", "while", line)
    }

    private mutating func repeatLoop(_ line: Int) throws(LuaSyntaxFault) {
        try advance()
        try loop { p throws(LuaSyntaxFault) in
            try p.block()
            guard p.token.symbol == "until" else { return try p.close("until", "repeat", line) }
            // The condition sees the body's locals.
            try p.condition("until")
        }
    }

    private mutating func forLoop(_ line: Int) throws(LuaSyntaxFault) {
        lines.append([])
        try advance()
        var names = [(try name(), line)]
        if try take("=") {
            _ = try expression()
            try expect(",")
            _ = try expression()
            if try take(",") { _ = try expression() }
        } else {
            while try take(",") { names.append((try name(), token.line)) }
            try expect("in")
            _ = try expressions()
        }
        try expect("do")
        checker.addStatement(lines.removeLast())
        try loop { p throws(LuaSyntaxFault) in
            for (name, line) in names { p.checker.declare(name, line, .loop) }
            try p.block()
        }
        try close("end", "for", line)
    }

    private mutating func functionStatement(_ line: Int) throws(LuaSyntaxFault) {
        let notes = lexer.takeAnnotations()
        try advance()
        let first = try name()
        var isMethod = false
        var isPlain = true
        var path = first
        while token.symbol == "." || token.symbol == ":" {
            isMethod = token.symbol == ":"
            isPlain = false
            try advance()
            path += "." + (try name())
            if isMethod { break }
        }
        if isPlain { checker.assign(first, line, LuaFact()) } else { checker.assignMember(first, path, line) }
        try functionBody(line, isMethod: isMethod, hook: isPlain ? first : nil, notes)
    }

    private mutating func local() throws(LuaSyntaxFault) {
        let line = token.line
        let notes = lexer.takeAnnotations()
        try advance()
        if try take("function") {
            let name = try name()
            checker.declare(name, line, .function)
            return try functionBody(line, isMethod: false, hook: nil, notes)
        }
        var names: [(String, Int)] = []
        var isFixed = false
        var closes = 0
        repeat {
            let at = token.line
            names.append((try name(), at))
            guard try take("<") else { continue }
            let attribute = try self.name()
            guard attribute == "const" || attribute == "close" else {
                throw fault("unknown attribute '\(attribute)'")
            }
            if attribute == "close" { closes += 1 }
            if closes > 1 { throw fault("multiple to-be-closed variables in local list") }
            isFixed = true
            try expect(">")
        } while try take(",")
        var facts: [LuaFact] = []
        if token.symbol == "=" {
            lines.append([line])
            try advance()
            facts = try expressions()
            let own = lines.removeLast()
            if !isFixed && !facts.allSatisfy(\.isNil) { checker.addStatement(own) }
        }
        for (index, (name, at)) in names.enumerated() {
            checker.declare(name, at, .variable, index < facts.count ? facts[index] : LuaFact(), isFixed: isFixed)
        }
    }

    private mutating func expressionStatement() throws(LuaSyntaxFault) {
        let first = try suffixed(isTarget: true)
        guard token.symbol == "=" || token.symbol == "," else {
            guard first.isCall else { throw fault("syntax error near \(shown)") }
            return
        }
        var targets = [first]
        while try take(",") { targets.append(try suffixed(isTarget: true)) }
        for target in targets where !target.isAssignable { throw fault("syntax error near \(shown)") }
        try expect("=")
        let facts = try expressions()
        for (index, target) in targets.enumerated() {
            guard let name = target.name else {
                if let library = target.library { checker.assignedMembers.insert(library) }
                continue
            }
            let fact = index < facts.count ? facts[index] : LuaFact()
            if let message = checker.assign(name, target.line, fact) {
                throw LuaSyntaxFault(line: target.line, message: message)
            }
        }
    }

    // MARK: Functions

    private mutating func functionBody(
        _ line: Int, isMethod: Bool, hook: String?, _ notes: [String: String]
    ) throws(LuaSyntaxFault) {
        try deeper()
        defer { depth -= 1 }
        try expect("(")
        var names: [String] = []
        var isVariadic = false
        if token.symbol != ")" {
            repeat {
                if try take("...") {
                    isVariadic = true
                    break
                }
                names.append(try name())
            } while try take(",")
        }
        try expect(")")
        functions.append(FunctionState(isVariadic: isVariadic))
        checker.openFunction()
        if isMethod { checker.declare("self", line, .parameter) }
        for (index, name) in names.enumerated() {
            checker.declare(name, line, .parameter, checker.parameter(name, index, hook, notes))
        }
        lines.append([])
        try block()
        lines.removeLast()
        try closeLabels()
        checker.closeFunction()
        functions.removeLast()
        try close("end", "function", line)
    }

    // MARK: Expressions

    private mutating func expressions() throws(LuaSyntaxFault) -> [LuaFact] {
        var facts = [try expression()]
        while try take(",") { facts.append(try expression()) }
        return facts
    }

    private static let priorities: [String: (left: Int, right: Int)] = [
        "or": (1, 1), "and": (2, 2), "<": (3, 3), ">": (3, 3), "<=": (3, 3), ">=": (3, 3), "~=": (3, 3), "==": (3, 3),
        "|": (4, 4), "~": (5, 5), "&": (6, 6), "<<": (7, 7), ">>": (7, 7), "..": (9, 8), "+": (10, 10), "-": (10, 10),
        "*": (11, 11), "/": (11, 11), "//": (11, 11), "%": (11, 11), "^": (14, 13),
    ]
    private static let unaryPriority = 12

    private mutating func expression(_ limit: Int = 0) throws(LuaSyntaxFault) -> LuaFact {
        try deeper()
        defer { depth -= 1 }
        var left: LuaFact
        switch token.symbol {
        case "not", "-", "~", "#":
            let sign = token.symbol
            try advance()
            let operand = try expression(LuaParser.unaryPriority)
            left = LuaFact(
                literal: operand.literal == .number && sign == "-" ? .number : nil, divides: operand.divides,
                isConstant: operand.isConstant)
        default: left = try simple()
        }
        while let symbol = token.symbol, let priority = LuaParser.priorities[symbol], priority.left > limit {
            let line = token.line
            try advance()
            let right = try expression(priority.right)
            left = checker.combine(left, symbol, right, line)
        }
        return left
    }

    private mutating func simple() throws(LuaSyntaxFault) -> LuaFact {
        switch token.kind {
        case .number:
            try advance()
            return LuaFact(literal: .number, isConstant: true)
        case .text(let text):
            try advance()
            return LuaFact(text: text, literal: .string, isConstant: true)
        case .symbol("nil"):
            try advance()
            return LuaFact(literal: .nil, isConstant: true, isNil: true)
        case .symbol("true"), .symbol("false"):
            try advance()
            return LuaFact(literal: .boolean, isConstant: true)
        case .symbol("..."):
            guard functions[functions.count - 1].isVariadic else {
                throw fault("cannot use '...' outside a vararg function near '...'")
            }
            try advance()
            return LuaFact()
        case .symbol("{"): return try table()
        case .symbol("function"):
            let line = token.line
            let notes = lexer.takeAnnotations()
            try advance()
            try functionBody(line, isMethod: false, hook: nil, notes)
            return LuaFact(literal: .function)
        default: return try suffixed(isTarget: false)
        }
    }

    private mutating func table() throws(LuaSyntaxFault) -> LuaFact {
        let line = token.line
        try advance()
        while token.symbol != "}" {
            if try take("[") {
                _ = try expression()
                try expect("]")
                try expect("=")
                _ = try expression()
            } else if case .name = token.kind, try peek().symbol == "=" {
                try advance()
                try advance()
                _ = try expression()
            } else {
                _ = try expression()
            }
            if try take(",") { continue }
            if try !take(";") { break }
        }
        try close("}", "{", line)
        return LuaFact(literal: .table)
    }

    private mutating func peek() throws(LuaSyntaxFault) -> LuaToken {
        if let ahead { return ahead }
        let next = try lexer.next()
        ahead = next
        return next
    }

    /// - Parameter isTarget: it may be assigned to, so that a name alone is not read yet.
    private mutating func suffixed(isTarget: Bool) throws(LuaSyntaxFault) -> LuaFact {
        let line = token.line
        var fact: LuaFact
        if try take("(") {
            fact = try expression()
            try close(")", "(", line)
            fact.isAssignable = false
            fact.isCall = false
            fact.name = nil
        } else if case .name(let name) = token.kind {
            try advance()
            let isPlain = isTarget && (token.symbol == "=" || token.symbol == ",")
            fact = isPlain ? LuaFact(name: name, isAssignable: true) : checker.read(name, line)
            fact.line = line
        } else {
            throw unexpected()
        }
        while true {
            switch token.kind {
            case .symbol("."):
                try advance()
                let at = token.line
                let member = try name()
                let isAssigned = isTarget && (token.symbol == "=" || token.symbol == ",")
                let isCalled = token.symbol == "(" || token.symbol == "{" || isText
                fact = checker.member(fact, member, at, isAssigned: isAssigned, isCalled: isCalled)
            case .symbol("["):
                try advance()
                _ = try expression()
                try expect("]")
                fact = LuaFact(isAssignable: true)
            case .symbol(":"):
                try advance()
                let at = token.line
                let method = try name()
                let result = checker.method(fact, method, at)
                checker.checkArguments(of: fact, method, try arguments(), at)
                fact = result
            case .symbol("("), .symbol("{"), .text:
                let callee = fact
                let given = try arguments()
                fact = checker.call(callee, given, line)
            default: return fact
            }
        }
    }

    private var isText: Bool {
        if case .text = token.kind { return true }
        return false
    }

    private mutating func arguments() throws(LuaSyntaxFault) -> [LuaFact] {
        switch token.kind {
        case .text(let text):
            try advance()
            return [LuaFact(text: text, literal: .string)]
        case .symbol("{"): return [try table()]
        case .symbol("("):
            let line = token.line
            try advance()
            if try take(")") { return [] }
            let facts = try expressions()
            try close(")", "(", line)
            return facts
        default: throw fault("function arguments expected near \(shown)")
        }
    }
}
