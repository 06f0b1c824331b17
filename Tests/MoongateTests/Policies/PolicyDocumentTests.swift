import Testing

@testable import Moongate
@testable import MoongateLua

/// The documents about policies say what the code does.
@Suite struct PolicyDocumentTests {
    private static var bindings: [(owner: String, bindings: [LuaBinding])] {
        PolicyClasses.all.map { ("\($0.name)", $0.bindings) }
            + PolicyClasses.libraries.map { ("\($0.name)", $0.bindings) }
    }

    @Test func everyFunctionIsInTheReference() throws {
        let text = try ShippedPolicy.file("docs/policy-api.md")
        for (owner, bindings) in PolicyDocumentTests.bindings {
            for binding in bindings {
                let name = "\(binding.name)"
                #expect(text.contains("\(name)(") || text.contains("`\(name)`"), "\(owner): \(name)")
            }
        }
    }

    @Test func everyMethodInTheReferenceExists() throws {
        let names = Set(
            PolicyDocumentTests.bindings.flatMap { owner, bindings in
                bindings.map { (owner == "moon" ? "moon." : "") + "\($0.name)" }
            })
        let sections = try ShippedPolicy.file("docs/policy-api.md").split(separator: "\n## ")
        for section in sections where ["Handle", "Headers", "Stream info", "moon"].contains(where: section.hasPrefix) {
            for line in section.split(separator: "\n") where line.hasPrefix("| `") {
                // The first column: `name(arguments) → results`, several of them or bare names.
                let column = line.dropFirst(2).prefix { $0 != "|" }
                for code in column.split(separator: "`") where code.contains("(") || code.hasPrefix("log") {
                    let name = String(code.prefix { $0 != "(" })
                    #expect(names.contains(name) || name == "pairs", "\(name) in: \(line)")
                }
            }
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
