import MoongateLua

/// What policies can call, for people and their tools: made from the tables that register the functions.
public enum PolicyAPI {
    /// A function or method.
    public struct Function: Sendable {
        public var name: String
        /// As LuaCATS writes it: `(name: string): string?`.
        public var type: String
        public var doc: String
        /// Whether Envoy's Lua filter has it, too.
        public var isEnvoys: Bool
        var parsed: LuaFunctionType?
    }

    /// A kind of object.
    public struct Class: Sendable {
        /// As types call it: `HeaderMap`.
        public var name: String
        public var summary: String
        public var functions: [Function]
        /// Whether `pairs(object)` works.
        public var hasPairs: Bool
    }

    /// A table of functions and constants that every policy finds.
    public struct Library: Sendable {
        /// Empty: plain globals.
        public var name: String
        public var summary: String
        public var functions: [Function]
        public var constants: [(name: String, value: Int64)]
        /// Names of JSON's null.
        public var nulls: [String]
    }

    public static var classes: [Class] {
        PolicyClasses.all.map { item in
            let name = typeName(item.name.description)
            return Class(
                name: name, summary: item.summary.description, functions: item.bindings.map { function($0, of: name) },
                hasPairs: item.iterate != nil)
        }
    }

    public static var libraries: [Library] {
        PolicyClasses.libraries.map { library in
            Library(
                name: library.name.description, summary: library.summary.description,
                functions: library.bindings.map { function($0, of: library.name.description) },
                constants: library.constants.map { ($0.name.description, $0.value) },
                nulls: library.nulls.map(\.description))
        }
    }

    /// The name of a class in types: `header map` is `HeaderMap`.
    static func typeName(_ name: String) -> String {
        name.split(separator: " ").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }

    private static func function(_ binding: LuaBinding, of owner: String) -> Function {
        let name = binding.name.description
        return Function(
            name: name, type: binding.type.description, doc: binding.doc.description,
            isEnvoys: EnvoySurface.methods[owner]?.contains(name) ?? false,
            parsed: try? LuaFunctionType(parsing: binding.type.description))
    }

    /// Names of types that need no definition here.
    static let basicTypes: Set<String> = [
        "any", "nil", "boolean", "string", "number", "integer", "table", "function", "true", "false",
    ]
}
