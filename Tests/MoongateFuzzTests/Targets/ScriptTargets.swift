import CMoongate
import MoongateLint
import MoongateLua

@testable import Moongate

/// Lua: what reads policies, and what runs them.
extension FuzzTarget {
    static let scripts = [lint, luaFile, luaPattern]

    /// The linter, and the compiler that it must agree with.
    private static let lint = FuzzTarget("lint", longestInput: 2048) { bytes in
        let source = Array(bytes)
        let findings = PolicyLint.check(source, api: PolicyAPI.lint)
        _ = PolicyLint.statements(source)
        for finding in findings { try Violation.check(!finding.message.isEmpty, "a finding without words") }
    }

    /// A policy: compiled and run, in the sandbox and within its limits. The first byte chooses the dialect.
    private static let luaFile = FuzzTarget("lua", longestInput: 2048) { bytes in
        let vm = try LuaVM(limits: LuaVM.Limits(memory: 4 << 20, milliseconds: 20))
        var source = Array(bytes)
        if source.first == UInt8(ascii: "!") { source += Array("\nfunction envoy_on_request(h) end".utf8) }
        do throws(LuaError) {
            let file = try vm.load(source, name: "policy.lua")
            if let hook = try vm.function("on_request", in: file) { _ = vm.start(hook) }
            vm.collectGarbage()
        } catch {
            try Violation.check(!error.message.isEmpty, "an error without words")
        }
        try Violation.check(vm.memoryInUse <= 4 << 20, "more memory than the limit")
    }

    /// A pattern, a subject and a replacement for Lua's string functions, whose matcher is ours.
    private static let luaPattern = FuzzTarget("lua-pattern", longestInput: 256) { bytes in
        var input = FuzzInput(bytes)
        let names = ["p", "s", "r"]
        var source = ""
        for (index, name) in names.enumerated() {
            let text = index == 2 ? input.rest() : input.text()
            source += "local \(name) = \"" + text.map { "\\\(String(1000 + Int($0)).dropFirst())" }.joined() + "\"\n"
        }
        source += """
            local function try(f, ...) return pcall(f, ...) end
            try(string.find, s, p) try(string.match, s, p) try(string.gsub, s, p, r) try(string.gsub, s, p, r, 2)
            try(function() local n = 0 for a, b in string.gmatch(s, p) do n = n + 1 if n > 50 then break end end end)
            try(string.format, p, 1, "a", 2.5) try(string.rep, p, 3, s) try(tonumber, p) try(tonumber, p, 16)
            try(load, p)
            """
        let vm = try LuaVM(limits: LuaVM.Limits(memory: 4 << 20, milliseconds: 20))
        _ = try? vm.load(Array(source.utf8), name: "pattern.lua")
    }
}
