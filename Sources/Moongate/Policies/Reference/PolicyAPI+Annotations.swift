/// Annotations for editors, as the Lua language server (LuaCATS) reads them.
extension PolicyAPI {
    /// The definition file `moon.lua`.
    public static var annotations: String {
        var text = """
            ---@meta moon
            -- What policies can call. Written by `moongate types`; the program that wrote it is the one it describes.


            """
        for item in classes { text += definition(of: item) }
        for library in libraries { text += definition(of: library) }
        text += hooks.map { hook in
            comment(hook.doc) + function(hook.name, try? LuaFunctionType(parsing: hook.type))
        }.joined()
        return text + "return moon\n"
    }

    private static func definition(of item: Class) -> String {
        var text = comment(item.summary) + "---@class \(item.name)\nlocal \(item.name) = {}\n\n"
        for method in item.functions {
            text += comment(method.doc) + function("\(item.name):\(method.name)", method.parsed)
        }
        return text
    }

    private static func definition(of library: Library) -> String {
        guard !library.name.isEmpty else {
            return library.functions.map { comment($0.doc) + function($0.name, $0.parsed) }.joined()
        }
        var text = comment(library.summary)
        if library.functions.isEmpty {
            text += "---@enum \(library.name)\n\(library.name) = {\n"
            for constant in library.constants { text += "  \(constant.name) = \(constant.value),\n" }
            return text + "}\n\n"
        }
        text += "\(library.name) = {}\n\n"
        for constant in library.constants { text += "\(library.name).\(constant.name) = \(constant.value)\n" }
        var made: Set<String> = []
        for function in library.functions {
            for table in tables(of: function.name) where made.insert(table).inserted {
                text += "\(library.name).\(table) = {}\n\n"
            }
            text += comment(function.doc) + self.function("\(library.name).\(function.name)", function.parsed)
        }
        for null in library.nulls {
            text += "---JSON's null.\n---@type lightuserdata\n\(library.name).\(null) = nil\n\n"
        }
        return text
    }

    /// `a` and `a.b` for `a.b.c`.
    private static func tables(of name: String) -> [String] {
        let parts = name.split(separator: ".")
        return (1..<max(1, parts.count)).map { parts[..<$0].joined(separator: ".") }
    }

    private static func comment(_ doc: String) -> String {
        doc.split(separator: "\n", omittingEmptySubsequences: false).map { "--- \($0)\n" }.joined()
    }

    private static func function(_ name: String, _ type: LuaFunctionType?) -> String {
        guard let type else { return "function \(name)(...) end\n\n" }
        var text = ""
        for parameter in type.parameters {
            text += "---@param \(parameter.name)\(parameter.isOptional ? "?" : "") \(parameter.type)\n"
        }
        for result in type.results { text += "---@return \(result)\n" }
        return text + "function \(name)(\(type.parameters.map(\.name).joined(separator: ", "))) end\n\n"
    }
}
