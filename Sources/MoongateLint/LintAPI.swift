/// What files may use: the names that the linter compares with.
public struct LintAPI: Sendable {
    /// Methods by class, and the class that each gives; empty: something else.
    public var classes: [String: [String: String]]
    /// Members of libraries by their dotted path (`moon.json.encode`), and the class that a call gives.
    public var members: [String: String]
    /// Classes of the parameters of hooks.
    public var hooks: [String: [String]]
    /// Globals beside the libraries.
    public var globals: Set<String>
    /// Libraries that `require` gives without a file.
    public var modules: Set<String>
    /// Signatures of functions, by the class's name or the library's path, with a dot before the function's: `Handle.respond`.
    public var signatures: [String: LintSignature]
    /// A file needs one of the hooks, as one that `require` loads or a spec does not.
    public var needsHooks: Bool

    public init(
        classes: [String: [String: String]], members: [String: String], hooks: [String: [String]],
        globals: Set<String> = [], modules: Set<String>, signatures: [String: LintSignature] = [:],
        needsHooks: Bool = false
    ) {
        self.signatures = signatures
        self.needsHooks = needsHooks
        self.classes = classes
        self.members = members
        self.hooks = hooks
        self.globals = globals
        self.modules = modules
    }
}

/// The parameters of a function.
public struct LintSignature: Sendable {
    /// As the reference has it: `(headers: table, body?: string)`.
    public var text: String
    /// For each parameter the kinds that are taken; empty: any.
    public var parameters: [Set<LuaLiteral>]

    public init(text: String, parameters: [Set<LuaLiteral>]) {
        self.text = text
        self.parameters = parameters
    }
}

/// The kind of a value that stands in the source.
public enum LuaLiteral: String, Sendable, Hashable {
    case boolean, function, number, string, table
    case `nil`
}

/// Something about a file.
public struct LintFinding: Sendable, Equatable {
    public enum Severity: Sendable, Equatable {
        case warning
        /// The code has no effect where one was meant: a guard that guards nothing.
        case fault
        /// It is no Lua.
        case syntax
    }
    public var line: Int
    public var message: String
    public var hint: String?
    public var severity = Severity.warning

    /// Whether it keeps the file from being loaded.
    public var isError: Bool { severity != .warning }
}

/// Lua's own names, as policies have them.
enum LuaLibrary {
    static let globals: Set<String> = [
        "_G", "_VERSION", "assert", "collectgarbage", "error", "getmetatable", "ipairs", "load", "next", "pairs",
        "pcall",
        "print", "rawequal", "rawget", "rawlen", "rawset", "require", "select", "setmetatable", "tonumber", "tostring",
        "type", "xpcall",
    ]

    static let members: [String: Set<String>] = [
        "coroutine": ["close", "create", "isyieldable", "resume", "running", "status", "wrap", "yield"],
        "math": [
            "abs", "acos", "asin", "atan", "ceil", "cos", "deg", "exp", "floor", "fmod", "huge", "log", "max",
            "maxinteger", "min", "mininteger", "modf", "pi", "rad", "random", "randomseed", "sin", "sqrt", "tan",
            "tointeger", "type", "ult",
        ],
        "os": ["clock", "date", "difftime", "time"],
        "string": [
            "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack", "packsize", "rep",
            "reverse", "sub", "unpack", "upper",
        ],
        "table": ["concat", "insert", "move", "pack", "remove", "sort", "unpack"],
        "utf8": ["char", "charpattern", "codepoint", "codes", "len", "offset"],
    ]

    static let closed: Set<String> = ["io", "debug", "dofile", "loadfile", "package"]

    /// Names of Lua 5.1 that are gone, with what to write instead.
    static let replaced: [String: String] = [
        "unpack": "table.unpack", "loadstring": "load", "setfenv": "load with an environment as its fourth argument",
        "getfenv": "_ENV", "gcinfo": "collectgarbage(\"count\")", "newproxy": "a table with a metatable",
        "table.getn": "#t", "table.maxn": "#t, or a loop over pairs", "table.foreach": "a loop over pairs",
        "table.foreachi": "a loop over ipairs", "table.setn": "nothing: lengths cannot be set",
        "string.gfind": "string.gmatch", "math.pow": "x ^ y", "math.log10": "math.log(x, 10)", "math.mod": "x % y",
        "math.ldexp": "x * 2.0 ^ n", "math.frexp": "math.log(x, 2)", "math.cosh": "(math.exp(x) + math.exp(-x)) / 2",
        "math.sinh": "(math.exp(x) - math.exp(-x)) / 2", "math.tanh": "math.exp", "math.atan2": "math.atan(y, x)",
        "bit": "the operators & | ~ << >>", "jit": "nothing: there is no compiler to control",
    ]

    /// What even files with Envoy's hooks cannot have.
    static let refused: [String: String] = [
        "module": "return a table from the file", "ffi": "policies cannot call C",
    ]
}
