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

    @Test func everythingThatSpecsFindIsAnnotated() throws {
        let vm = try LuaVM()
        _ = try vm.load(Array(SpecAnnotations.text.utf8), name: "spec.lua")
        let lines = SpecAnnotations.text.split(separator: "\n").map(String.init)
        for name in SpecPrelude.globals {
            #expect(lines.contains { $0.hasPrefix("function \(name)(") || $0 == "\(name) = {}" }, "\(name)")
        }
        for check in SpecPrelude.source.matches(of: #/^ +(to_\w+) = function/#.anchorsMatchLineEndings()) {
            #expect(lines.contains { $0.hasPrefix("function Expectation:\(check.1)(") }, "\(check.1)")
        }
        for method in SpecPrelude.source.matches(of: #/function (Result|Policy|Message):(\w+)/#) {
            #expect(lines.contains { $0.hasPrefix("function Spec\(method.1):\(method.2)(") }, "\(method.2)")
        }
    }
}

/// What scripts of Envoy's Lua filter find.
@Suite struct EnvoySurfaceTests {
    @Test func everyMethodOfEnvoysIsRegistered() {
        for (owner, names) in EnvoySurface.methods {
            let item = PolicyClasses.all.first { PolicyAPI.typeName($0.name.description) == owner }
            let registered = Set(item?.registered.map(\.name.description) ?? [])
            #expect(names.subtracting(registered).sorted() == [], "\(owner)")
        }
    }

    /// C92: `logInfo` and its siblings are methods of every object.
    @Test func everyObjectOfEnvoysWritesToTheLog() {
        for owner in EnvoySurface.methods.keys {
            let item = PolicyClasses.all.first { PolicyAPI.typeName($0.name.description) == owner }
            let logging = item?.registered.filter { $0.name.description.hasPrefix("log") }.map(\.name.description)
            #expect(
                logging == ["logTrace", "logDebug", "logInfo", "logWarn", "logErr", "logCritical"], "\(owner)")
        }
    }
}
