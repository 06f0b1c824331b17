import Foundation
import Testing

@testable import Moongate

/// Keeps docs/operations.md and the code the same.
@Suite struct OperationsDocumentTests {
    private func document() throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent("docs/operations.md"), encoding: .utf8)
    }

    /// The first cells of the rows under a heading.
    private func rows(under heading: String) throws -> [[String]] {
        let section = try #require(document().components(separatedBy: "\n## \(heading)\n").dropFirst().first)
        let lines = section.components(separatedBy: "\n## ")[0].split(separator: "\n")
        return lines.filter { $0.hasPrefix("| `") }.map { line in
            line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
        }
    }

    @Test func everyMetricIsDocumentedWithItsType() throws {
        let registry = MetricsRegistry(workers: 1)
        let text = String(decoding: registry.exposition(), as: UTF8.self)
        let shown = text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }.map { line in
            line.split(separator: " ").dropFirst(2).joined(separator: " ")
        }
        let written = try rows(under: "Metrics").map { "\($0[0].replacingOccurrences(of: "`", with: "")) \($0[1])" }
        #expect(written == shown)
    }

    @Test func everyAccessLogFieldIsDocumented() throws {
        let something = Bytes("x")
        var certificate = ClientCertificateFacts(nil)
        certificate.version = something
        certificate.cipher = something
        certificate.serverName = something
        certificate.subject = something
        certificate.digest = something
        certificate.names = something
        certificate.fault = something
        let record = AccessRecord(
            startedAt: 1, requestID: something, listener: something, remote: something, peer: something,
            certificate: certificate, method: something, authority: something, path: something, sentPath: something,
            route: something, upstream: something,
            endpoint: something, policy: something, termination: something, grpcStatus: 0, httpStatus: 200, attempts: 2)
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: AccessRecord.longestLine)
        defer { memory.deallocate() }
        let line = record.write(into: memory)
        let object = try #require(JSONSerialization.jsonObject(with: Data(line.buffer)) as? [String: Any])
        let written = try rows(under: "Access log").flatMap { row in
            row[0].split(separator: ",").map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " `")) }
        }
        #expect(Set(written) == Set(object.keys))
        #expect(written.count == object.count)
    }
}
