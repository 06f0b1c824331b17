import Foundation
import Testing

@testable import MoongateConfig

/// Each file in Cases/ is a configuration, a line of ten dashes, and what the parser makes of it: the diagnostics
/// (line:column: message), or a dump of the configuration. To add a case, add a file with nothing below the dashes
/// and run `RECORD_CASES=1 swift test --filter GoldenCases`, which fills such files in. Then read what it wrote.
struct GoldenCase: CustomTestStringConvertible, Sendable {
    static let separator = "\n----------\n"

    let name: String
    let input: String
    let expected: String

    var testDescription: String { name }

    /// The parser opens no file, so this one need not exist.
    static let file: AbsolutePath = "/etc/moongate/moongate.yaml"

    static func all() throws -> [GoldenCase] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Cases")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return try files.filter { $0.pathExtension == "yaml" }.sorted { $0.path < $1.path }.map { file in
            let text = try String(contentsOf: file, encoding: .utf8)
            let separator = try #require(text.range(of: separator), "\(file.lastPathComponent) lacks the dashes")
            let name = file.deletingPathExtension().lastPathComponent
            let input = text[..<separator.lowerBound] + "\n"
            return GoldenCase(name: name, input: String(input), expected: String(text[separator.upperBound...]))
        }
    }

    func record() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Cases")
        let text = input.dropLast() + Self.separator + outcome()
        try text.write(to: folder.appending(path: name + ".yaml"), atomically: true, encoding: .utf8)
    }

    func outcome() -> String {
        do throws(DiagnosticList) {
            return dump(of: try ConfigurationParser.parse(input, file: Self.file))
        } catch {
            return error.diagnostics.map { String($0.description.dropFirst(Self.file.text.count + 1)) + "\n" }.joined()
        }
    }

    /// Whether the case tells of faults: those begin with a line number.
    var isFaulty: Bool { expected.first?.isNumber ?? false }
}

@Suite struct GoldenCases {
    @Test(arguments: try GoldenCase.all())
    func caseGivesWhatItsFileSays(_ golden: GoldenCase) throws {
        if golden.expected.isEmpty, ProcessInfo.processInfo.environment["RECORD_CASES"] != nil {
            return try golden.record()
        }
        #expect(golden.outcome() == golden.expected)
    }

    @Test func thereAreEnoughCasesOfBothKinds() throws {
        let cases = try GoldenCase.all()
        #expect(cases.count { $0.isFaulty } >= 60)
        #expect(cases.count { !$0.isFaulty } >= 10)
    }
}
