import MoongateLua
import Testing

@testable import Moongate

@Suite struct PolicyAnnotationsTests {
    /// Lua reads the file, and running it makes every function.
    @Test func theAnnotationsAreLua() throws {
        let vm = try LuaVM()
        _ = try vm.load(Array(PolicyAPI.annotations.utf8), name: "moon.lua")
    }

    @Test func everyFunctionIsThereOnce() throws {
        let lines = PolicyAPI.annotations.split(separator: "\n").filter { $0.hasPrefix("function ") }
        let defined = lines.map { String($0.dropFirst("function ".count).prefix { $0 != "(" }) }
        let expected =
            PolicyAPI.classes.flatMap { item in item.functions.map { "\(item.name):\($0.name)" } }
            + PolicyAPI.libraries.flatMap { library in
                library.functions.map { library.name.isEmpty ? $0.name : "\(library.name).\($0.name)" }
            } + PolicyAPI.hooks.map(\.name)
        #expect(defined.sorted() == expected.sorted())
        #expect(Set(defined).count == defined.count)
    }

    @Test func parametersAndResultsAreAnnotated() {
        let text = PolicyAPI.annotations
        #expect(
            text.contains(
                """
                ---@param name string
                ---@param index integer
                ---@return string?
                function HeaderMap:getAtIndex(name, index) end
                """))
        #expect(text.contains("---@param seed? integer\n---@return integer\nfunction moon.hash(text, seed) end"))
        #expect(text.contains("moon.password = {}\n\n"))
        #expect(text.contains("---@enum EnvoyTimestampResolution\nEnvoyTimestampResolution = {\n  MILLISECOND = 1,\n"))
        #expect(text.contains("---@param handle Handle\nfunction on_request(handle) end"))
    }
}
