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

    public init(
        classes: [String: [String: String]], members: [String: String], hooks: [String: [String]],
        globals: Set<String> = [], modules: Set<String>
    ) {
        self.classes = classes
        self.members = members
        self.hooks = hooks
        self.globals = globals
        self.modules = modules
    }
}

/// Something about a file.
public struct LintFinding: Sendable, Equatable {
    public var line: Int
    public var message: String
    public var hint: String?
    /// Whether it keeps the file from being loaded.
    public var isError = false
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
