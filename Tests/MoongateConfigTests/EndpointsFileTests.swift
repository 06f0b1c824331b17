import Testing

@testable import MoongateConfig

@Suite struct EndpointsFileTests {
    private func faults(_ text: String) -> [String] {
        do throws(DiagnosticList) {
            _ = try EndpointsFile.parse(utf8: Array(text.utf8), file: "/e.yaml")
            return []
        } catch {
            return error.diagnostics.map(\.description)
        }
    }

    @Test func listIsReadInYAMLAndJSON() throws {
        let yaml = try EndpointsFile.parse(
            utf8: Array("- 10.0.0.1:1\n- {address: b.test:2, weight: 3, priority: 1}\n".utf8), file: "/e.yaml")
        let json = try EndpointsFile.parse(
            utf8: Array(#"["10.0.0.1:1", {"address": "b.test:2", "weight": 3, "priority": 1}]"#.utf8), file: "/e.json")
        #expect(yaml == json && yaml.count == 2 && yaml[1].weight == 3)
    }

    @Test func faultsHaveTheirPlace() {
        #expect(faults("- 10.0.0.1:1\n- nowhere\n").first?.hasPrefix("/e.yaml:2:3: \"nowhere\" has no port") == true)
        #expect(faults("[]").first?.contains("at least one element") == true)
        #expect(faults("").first?.contains("the file is empty") == true)
        #expect(faults("a: 1").first?.contains("expected a list") == true)
        #expect(faults("[10.0.0.1:1").count == 1)
    }
}
