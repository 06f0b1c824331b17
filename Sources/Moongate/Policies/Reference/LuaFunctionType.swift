/// Parameters and results of a function that policies call, as LuaCATS writes them behind `fun`:
/// `(name: string, index?: integer): string?, string`.
struct LuaFunctionType: Equatable {
    struct Parameter: Equatable {
        /// `...` for any number of values.
        var name: String
        /// Whether it may be left out.
        var isOptional: Bool
        var type: String
    }
    var parameters: [Parameter] = []
    var results: [String] = []
    /// The names of types that stand anywhere in it.
    var names: [String] = []

    /// The members of a union, without the mark of what may be missing: `string|number[]?` has `string`, `number[]` and `nil`.
    static func members(of type: String) -> [String] {
        var members = [""]
        var depth = 0
        for character in type {
            switch character {
            case "(", "{", "<": depth += 1
            case ")", "}", ">": depth -= 1
            default: break
            }
            if character == "|" && depth == 0 {
                members.append("")
            } else {
                members[members.count - 1].append(character)
            }
        }
        return members.flatMap { member -> [String] in
            let plain = member.trimmingBlanks
            return plain.hasSuffix("?") ? [String(plain.dropLast()), "nil"] : [plain]
        }
    }

    /// - Throws: what is wrong with the notation, and where.
    init(parsing text: String) throws(LuaTypeFault) {
        var reader = LuaTypeReader(text)
        try reader.readFunction()
        try reader.expectEnd()
        parameters = reader.parameters
        results = reader.results
        names = reader.names
    }
}

/// What is wrong with a type's notation.
struct LuaTypeFault: Error, CustomStringConvertible {
    var description: String
}

/// Reads LuaCATS types. Only the outermost function's parameters and results are kept apart.
private struct LuaTypeReader {
    private let text: [Character]
    private var place = 0
    private(set) var parameters: [LuaFunctionType.Parameter] = []
    private(set) var results: [String] = []
    private(set) var names: [String] = []

    private static let keywords: Set<String> = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
        "not", "or", "repeat", "return", "then", "true", "until", "while",
    ]

    init(_ text: String) { self.text = Array(text) }

    // MARK: Functions

    mutating func readFunction() throws(LuaTypeFault) {
        let (parameters, results) = try function()
        self.parameters = parameters
        self.results = results
    }

    private mutating func function() throws(LuaTypeFault) -> ([LuaFunctionType.Parameter], [String]) {
        var parameters: [LuaFunctionType.Parameter] = []
        try expect("(")
        if !take(")") {
            repeat { parameters.append(try parameter()) } while take(",")
            try expect(")")
        }
        var results: [String] = []
        if take(":") {
            repeat { results.append(try type()) } while take(",")
        }
        return (parameters, results)
    }

    private mutating func parameter() throws(LuaTypeFault) -> LuaFunctionType.Parameter {
        let name: String
        if take(".") {
            try expect(".")
            try expect(".")
            name = "..."
        } else {
            name = try word()
            if LuaTypeReader.keywords.contains(name) { throw fault("'\(name)' is a keyword of Lua") }
        }
        let isOptional = take("?")
        try expect(":")
        return LuaFunctionType.Parameter(name: name, isOptional: isOptional, type: try type())
    }

    // MARK: Types

    /// The text of the type that stands here.
    private mutating func type() throws(LuaTypeFault) -> String {
        skipBlanks()
        let start = place
        repeat { try member() } while take("|")
        return String(text[start..<place]).trimmingBlanks
    }

    /// One member of a union with what stands behind it.
    private mutating func member() throws(LuaTypeFault) {
        if take("(") {
            _ = try type()
            try expect(")")
        } else if take("{") {
            repeat { try field() } while take(",")
            try expect("}")
        } else if take("\"") {
            while place < text.count, text[place] != "\"" { place += 1 }
            try expect("\"")
        } else {
            try named()
        }
        while true {
            if take("[") { try expect("]") } else if !take("?") { return }
        }
    }

    private mutating func named() throws(LuaTypeFault) {
        let name = try word()
        if name == "fun" {
            _ = try function()
            return
        }
        if !name.allSatisfy(\.isNumber) { names.append(name) }
        guard take("<") else { return }
        repeat { _ = try type() } while take(",")
        try expect(">")
    }

    /// `name: T`, `name?: T` or `[K]: T`.
    private mutating func field() throws(LuaTypeFault) {
        if take("[") {
            _ = try type()
            try expect("]")
        } else {
            _ = try word()
            _ = take("?")
        }
        try expect(":")
        _ = try type()
    }

    // MARK: Characters

    private mutating func skipBlanks() { while place < text.count, text[place] == " " { place += 1 } }

    private mutating func take(_ character: Character) -> Bool {
        skipBlanks()
        guard place < text.count, text[place] == character else { return false }
        place += 1
        return true
    }

    private mutating func expect(_ character: Character) throws(LuaTypeFault) {
        if !take(character) { throw fault("'\(character)' is missing") }
    }

    func expectEnd() throws(LuaTypeFault) {
        guard place == text.count else { throw fault("something stands behind it") }
    }

    private mutating func word() throws(LuaTypeFault) -> String {
        skipBlanks()
        let start = place
        while place < text.count, text[place].isLetter || text[place].isNumber || text[place] == "_" { place += 1 }
        guard place > start else { throw fault("a name is missing") }
        return String(text[start..<place])
    }

    private func fault(_ message: String) -> LuaTypeFault {
        LuaTypeFault(description: "\(String(text)): \(message) at column \(place + 1)")
    }
}

extension String {
    fileprivate var trimmingBlanks: String { String(reversed().drop { $0 == " " }.reversed()) }
}
