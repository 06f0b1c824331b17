import Testing

@testable import Moongate
@testable import MoongateLua

/// The documents about policies say what the code does.
@Suite struct PolicyDocumentTests {
    private static var functions: [(owner: String, function: PolicyAPI.Function)] {
        PolicyAPI.classes.flatMap { item in item.functions.map { (item.name, $0) } }
            + PolicyAPI.libraries.flatMap { library in library.functions.map { (library.name, $0) } }
    }

    @Test func committedReferenceIsWhatTheCodeSays() throws {
        #expect(try ShippedPolicy.file("docs/policy-api.md") == PolicyAPI.markdown, "run scripts/generate-docs")
    }

    @Test func everyFunctionHasATypeAndADescription() throws {
        let known = Set(PolicyAPI.classes.map(\.name) + PolicyAPI.libraries.map(\.name)).union(PolicyAPI.basicTypes)
        for (owner, function) in PolicyDocumentTests.functions {
            let name = "\(owner).\(function.name)"
            #expect(function.doc.hasSuffix("."), "\(name): doc must be sentences")
            do {
                let type = try LuaFunctionType(parsing: function.type)
                #expect(known.isSuperset(of: type.names), "\(name): \(Set(type.names).subtracting(known)) is no type")
            } catch {
                Issue.record("\(name): \(error)")
            }
        }
        for hook in PolicyAPI.hooks { #expect(throws: Never.self) { try LuaFunctionType(parsing: hook.type) } }
    }

    /// What the binding's signature asks for is what the type says: as many arguments, and as many of them required.
    @Test func typesFitSignatures() throws {
        for binding in PolicyClasses.all.flatMap(\.bindings) + PolicyClasses.libraries.flatMap(\.bindings) {
            let letters = binding.signature.filter { $0.isLetter }.count
            let optional = binding.signature.filter { $0 == "?" }.count
            let type = try LuaFunctionType(parsing: binding.type.description)
            #expect(type.parameters.count == letters, "\(binding.name)\(binding.type)")
            #expect(type.parameters.filter(\.isOptional).count == optional, "\(binding.name)\(binding.type)")
        }
    }

    /// The complete examples of the guide: those with a request hook, in order.
    private func example(_ number: Int) throws -> String {
        let parts = try ShippedPolicy.file("docs/policy-guide.md").components(between: "```lua", and: "```\n")
        let part = try #require(parts.filter { $0.contains("function on_request") }.dropFirst(number).first)
        // The rest of the first line is for other tests: the name of the file, or what kind of example it is.
        return String(part.drop { !$0.isNewline })
    }

    private func verdict(_ bench: PolicyBench, _ header: (String, String)?) throws -> PolicyVerdict {
        let (verdict, call) = try bench.request(PolicyBench.grpc + (header.map { [$0] } ?? []))
        call.end()
        return verdict
    }

    @Test func theGuidesFirstPolicyWorks() throws {
        let bench = try PolicyBench(try example(0))
        #expect(try verdict(bench, nil) == .reply)
        #expect(try verdict(bench, ("x-plan", "pro")) == .proceed)
    }

    @Test func theGuidesPolicyWithSettingsWorks() throws {
        let bench = try PolicyBench(
            try example(1),
            settings: .table([
                .init(key: "header", value: .string("x-plan")),
                .init(key: "wanted", value: .list([.string("pro"), .string("team")])),
            ]))
        #expect(try verdict(bench, nil) == .reply)
        #expect(try verdict(bench, ("x-plan", "free")) == .reply)
        #expect(try verdict(bench, ("x-plan", "team")) == .proceed)
    }

    @Test func theGuidesPolicyWithDataWorks() throws {
        let bench = try PolicyBench(
            ["p.lua": try example(2)], [.init("p.lua")], data: ["/etc/blocked.txt": "# closed\nmallory\n"])
        #expect(try verdict(bench, nil) == .proceed)
        #expect(try verdict(bench, ("x-user", "mallory")) == .reply)
        #expect(try verdict(bench, ("x-user", "ada")) == .proceed)
    }
}

extension String {
    /// What stands between each `start` and the next `end`.
    fileprivate func components(between start: String, and end: String) -> [String] {
        var found: [String] = []
        var rest = self[...]
        while let opening = rest.firstRange(of: start) {
            rest = rest[opening.upperBound...]
            guard let closing = rest.firstRange(of: end) else { break }
            found.append(String(rest[..<closing.lowerBound]))
            rest = rest[closing.upperBound...]
        }
        return found
    }
}
