import Foundation
import MoongateConfig
import Testing

@testable import Moongate

/// The policies that ship, as they lie in `policies/`, on the bench.
enum ShippedPolicy {
    static let names = [
        "api-key", "basic-auth", "body-limit", "canary", "cors", "deadline", "external-auth", "header-auth", "headers",
        "ip-access", "jwt-auth", "method-allow", "rate-limit", "request-id", "security-headers", "strip-port",
    ]

    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../../..").standardizedFileURL

    /// A file of the repository.
    static func file(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// - Parameter settings: YAML.
    static func bench(
        _ name: String, _ settings: String = "{}", data: [String: String] = [:], verifier: PasswordVerifier? = nil
    ) throws -> PolicyBench {
        let value = try DataFile.parse(Array(settings.utf8), path: "settings.yaml")
        return try PolicyBench(
            ["policies/\(name)/init.lua": try file("policies/\(name)/init.lua")],
            [.init(name, settings: value)], data: data, verifier: verifier)
    }

    /// What loading the policy with these settings complains about; empty if it does not.
    static func unhealthyReason(_ name: String, _ settings: String, data: [String: String] = [:]) throws -> String {
        do {
            _ = try bench(name, settings, data: data)
            return ""
        } catch let faults as DiagnosticList {
            return faults.description
        }
    }

    /// A gRPC request with more headers, or with others in the place of those it has.
    static func request(_ headers: [String: String] = [:]) -> [(String, String)] {
        PolicyBench.grpc.map { ($0.0, headers[$0.0] ?? $0.1) }
            + headers.filter { header in !PolicyBench.grpc.contains { $0.0 == header.key } }.map { ($0.key, $0.value) }
    }
}

/// What is true of all of them.
@Suite struct ShippedPolicyTests {
    @Test(arguments: ShippedPolicy.names)
    func documentationAndReadmeSayTheSame(name: String) throws {
        let readme = try ShippedPolicy.file("policies/\(name)/README.md")
        let index = try ShippedPolicy.file("docs/policies.md")
        let settings = readme.split(separator: "\n").filter { $0.hasPrefix("| `") }
        let source = try ShippedPolicy.file("policies/\(name)/init.lua")
        #expect(index.contains("## \(name)\n"))
        #expect(!settings.isEmpty)
        for line in settings {
            #expect(index.contains(line), "docs/policies.md lacks: \(line)")
            let key = line.dropFirst(3).prefix { $0 != "`" }
            #expect(source.contains(key), "\(name) does not know \(key)")
        }
    }

    @Test(arguments: ShippedPolicy.names)
    func aSettingThatNobodyKnowsIsRefusedWithItsPlace(name: String) throws {
        let unhealthyReason = try ShippedPolicy.unhealthyReason(name, "{no_such_setting: 1}")
        #expect(
            unhealthyReason.hasPrefix("moongate.yaml:7:3: policy \(name): unknown setting \"no_such_setting\" (known: ")
        )
    }

    /// Every one of the folders is tested and documented.
    @Test func theListIsComplete() throws {
        let folders = try FileManager.default.contentsOfDirectory(
            atPath: ShippedPolicy.root.appendingPathComponent("policies").path)
        #expect(folders.filter { !$0.hasPrefix(".") }.sorted() == ShippedPolicy.names)
    }
}
