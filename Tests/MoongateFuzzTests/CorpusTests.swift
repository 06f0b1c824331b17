import Foundation
import Testing

@testable import Moongate

/// Every file of every corpus through its target once: what the fuzzer has found stays found.
@Suite(.serialized) struct CorpusTests {
    /// Beside this file.
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
        "Corpus")

    private static func files(of target: String) throws -> [URL] {
        let folder = folder.appendingPathComponent(target)
        return try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
    }

    @Test(arguments: FuzzTarget.names) func corpusIsTaken(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let files = try CorpusTests.files(of: name)
        #expect(!files.isEmpty)
        for file in files {
            let bytes = Array(try Data(contentsOf: file))
            // In memory of exactly this size, as the fuzzer has it.
            let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
            defer { copy.deallocate() }
            _ = copy.initialize(from: bytes)
            do {
                try target.run(UnsafeBufferPointer(copy))
            } catch {
                Issue.record("\(name)/\(file.lastPathComponent): \(error)")
            }
        }
    }

    @Test func everyCorpusHasItsTarget() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: CorpusTests.folder.path)
        #expect(folders.sorted() == FuzzTarget.names.sorted())
    }
}
