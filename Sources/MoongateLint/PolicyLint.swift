/// Looks at a Lua file without running it.
public enum PolicyLint {
    /// Everything there is to say about a file. A file that is no Lua has one finding, which is an error.
    public static func check(_ source: [UInt8], api: LintAPI) -> [LintFinding] {
        do throws(LuaSyntaxFault) {
            var checker = try parse(source, api)
            checker.finish()
            return checker.findings
        } catch {
            return [LintFinding(line: error.line, message: error.message, severity: .syntax)]
        }
    }

    /// The statements of a file that running it can reach: the lines of each. Empty if the file is no Lua.
    public static func statements(_ source: [UInt8]) -> [Set<Int>] {
        let api = LintAPI(classes: [:], members: [:], hooks: [:], modules: [])
        do throws(LuaSyntaxFault) {
            return try parse(source, api).statements
        } catch {
            return []
        }
    }

    /// The lines on which a file names functions, outside of other functions: globals and locals. Empty if it is no Lua.
    public static func functionLines(_ source: [UInt8]) -> (global: [String: Int], local: [String: Int]) {
        let api = LintAPI(classes: [:], members: [:], hooks: [:], modules: [])
        do throws(LuaSyntaxFault) {
            let checker = try parse(source, api)
            return (checker.globalLines, checker.localFunctions)
        } catch {
            return ([:], [:])
        }
    }

    private static func parse(_ source: [UInt8], _ api: LintAPI) throws(LuaSyntaxFault) -> LuaChecker {
        var parser = try LuaParser(source, LuaChecker(api, isEnvoys: try hasEnvoysHooks(source)))
        try parser.parse()
        return parser.checker
    }

    private static func hasEnvoysHooks(_ source: [UInt8]) throws(LuaSyntaxFault) -> Bool {
        var lexer = LuaLexer(source)
        while true {
            switch try lexer.next().kind {
            case .name("envoy_on_request"), .name("envoy_on_response"): return true
            case .end: return false
            default: continue
            }
        }
    }
}
