import Foundation
import Testing

@testable import MoongateConfig

@Suite struct ReferenceTests {
    private static let docs = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs")
        .standardized

    @Test func committedSchemaIsWhatTheCodeSays() throws {
        let committed = try String(contentsOf: Self.docs.appending(path: "moongate.schema.json"), encoding: .utf8)
        #expect(committed == ConfigurationReference.jsonSchema, "run scripts/generate-docs")
    }

    @Test func committedReferenceIsWhatTheCodeSays() throws {
        let committed = try String(contentsOf: Self.docs.appending(path: "configuration.md"), encoding: .utf8)
        #expect(committed == ConfigurationReference.markdown, "run scripts/generate-docs")
    }

    @Test func schemaIsJSON() throws {
        let object = try JSONSerialization.jsonObject(with: Data(ConfigurationReference.jsonSchema.utf8))
        let definitions = try #require((object as? [String: Any])?["definitions"] as? [String: Any])
        #expect(definitions["route"] != nil)
        #expect(definitions["header-match"] != nil)
    }

    @Test func exampleIsGood() throws {
        let configuration = try ConfigurationParser.parse(ConfigurationReference.example, file: GoldenCase.file)
        #expect(configuration.routes.count == 3)
        let names = [
            "edge.crt", "edge.key", "clients-ca.crt", "clients.crl", "internal-ca.crt", "internal.crl",
            "edge-client.crt", "edge-client.key",
        ]
        #expect(configuration.referencedFiles == names.map { "/etc/moongate/certs/\($0)" })
    }

    @Test func exampleShowsEveryKey() throws {
        var seen: Set<String> = []
        for key in Self.keys(of: ValueType<Configuration>.configuration.shape, seen: &seen) {
            let pattern = try Regex("(^|[ {])\(key):").anchorsMatchLineEndings()
            #expect(ConfigurationReference.example.contains(pattern), "\(key)")
        }
    }

    private static func keys(of shape: Shape, seen: inout Set<String>) -> Set<String> {
        switch shape {
        case .alwaysTrue, .integer, .text, .choice, .anyMapping: return []
        case .list(let element, _), .dictionary(let element, _), .singleton(let element, _):
            return keys(of: element, seen: &seen)
        case .either(let shapes):
            return shapes.reduce(into: []) { $0.formUnion(keys(of: $1, seen: &seen)) }
        case .mapping(let mapping):
            guard seen.insert(mapping.name).inserted else { return [] }
            return mapping.fields.reduce(into: []) { result, field in
                result.insert(field.key)
                result.formUnion(keys(of: field.shape, seen: &seen))
            }
        }
    }
}
