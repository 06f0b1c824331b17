import Foundation
import Synchronization
import Testing

@testable import MoongateConfig

@Suite struct ConfigurationParserTests {
    @Test func relativePathsOfARelativeFileBecomeAbsolute() throws {
        let text = "listeners: [{address: ':1', tls: {certificates: [{certificate: a.crt, key: sub/a.key}]}}]"
        let files = try ConfigurationParser.parse(text, file: "conf/moongate.yaml").referencedFiles
        #expect(files.count == 2)
        #expect(files.allSatisfy { $0.hasPrefix("/") })
        #expect(files.last?.hasSuffix("/conf/sub/a.key") == true)
    }

    @Test func fileInTheRootFolderHasTheRootAsBase() throws {
        let text = "listeners: [{address: ':1'}]\naccess_log: {path: a.log}"
        let configuration = try ConfigurationParser.parse(text, file: "/moongate.yaml")
        #expect(configuration.accessLog?.destination == .file("/a.log"))
    }

    @Test func aFileNamedTwiceIsListedOnce() throws {
        let text = """
            listeners:
              - {address: ":1", tls: {certificates: [{certificate: both.pem, key: both.pem}]}}
              - {address: ":2", tls: {certificates: [{certificate: both.pem, key: b.key}]}}
            """
        let configuration = try ConfigurationParser.parse(text, file: "/etc/m.yaml")
        #expect(configuration.referencedFiles == ["/etc/both.pem", "/etc/b.key"])
    }

    @Test func bytesThatAreNotUTF8AreReportedWithTheirPlace() {
        let bytes = Array("workers: 1\nname: \"ab".utf8) + [0xFF] + Array("\"".utf8)
        #expect(faults(in: bytes) == ["/m.yaml:2:10: the file is not UTF-8 text"])
    }

    @Test func byteOrderMarkIsNoFault() throws {
        let bytes = [0xEF, 0xBB, 0xBF] + Array("listeners: [{address: ':1'}]".utf8)
        #expect(try ConfigurationParser.parse(utf8: bytes, file: "/m.yaml").listeners.count == 1)
    }

    @Test func fileOverSixteenMebibytesIsRefused() {
        let bytes = [UInt8](repeating: UInt8(ascii: "#"), count: ConfigurationParser.largestFile + 1)
        #expect(faults(in: bytes) == ["/m.yaml: the file is larger than 16 MiB"])
    }

    @Test func manyRepeatedKeysEndInAReport() {
        let bytes = Array((0..<200).map { "key\($0): 1\nkey\($0): 2\n" }.joined().utf8)
        #expect(faults(in: bytes).count == 50)
    }

    @Test func equalTextsGiveEqualConfigurations() throws {
        let first = try ConfigurationParser.parse(ConfigurationReference.example, file: GoldenCase.file)
        let second = try ConfigurationParser.parse(ConfigurationReference.example, file: GoldenCase.file)
        #expect(first == second)
    }

    @Test func tenThousandRoutesAreRead() throws {
        var text = "listeners: [{address: ':1'}]\nupstreams: {u: {endpoints: ['h:1']}}\nroutes:\n"
        for number in 0..<10_000 {
            text += "  - {name: r\(number), match: {service: s.S\(number)}, upstream: u}\n"
        }
        #expect(try ConfigurationParser.parse(text, file: "/m.yaml").routes.count == 10_000)
    }

    /// As deep as the YAML library goes before it refuses, in each way of nesting.
    @Test(arguments: ["[", "{a: ", "- ", "? "])
    func deepNestingIsReportedOnASmallStack(_ opening: String) {
        for depth in [65, 990, 100_000] {
            let bytes = Array("a:\n  \(String(repeating: opening, count: depth))x".utf8)
            #expect(!faultsOnSmallStack(in: bytes).isEmpty, "\(depth) levels")
        }
    }

    /// Damages good files at random places: whatever comes out, it is a value or a report.
    @Test func damagedFilesAreReadOrReported() throws {
        var random = SplitMix(state: 20_260_101)
        let pieces = Array("\0\t\n\"'*&<>[]{}:,-?!|#%@`~ \u{1}aZ09".utf8) + [0x80, 0xC3, 0xFF]
        let inputs = try GoldenCase.all().map(\.input).filter { $0.utf8.count < 4000 }
        for _ in 0..<1000 {
            var bytes = Array(inputs[Int.random(in: 0..<inputs.count, using: &random)].utf8)
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0..<max(bytes.count, 1), using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes.insert(pieces[Int.random(in: 0..<pieces.count, using: &random)], at: place)
                case 1 where place < bytes.count: bytes.remove(at: place)
                default: bytes.removeSubrange(min(place, bytes.count)..<min(place + 9, bytes.count))
                }
            }
            do throws(DiagnosticList) {
                _ = try ConfigurationParser.parse(utf8: bytes, file: "/m.yaml")
            } catch {
                #expect(!error.diagnostics.isEmpty)
            }
        }
    }

}

private func faults(in bytes: [UInt8]) -> [String] {
    do throws(DiagnosticList) {
        _ = try ConfigurationParser.parse(utf8: bytes, file: "/m.yaml")
        return []
    } catch {
        return error.diagnostics.map(\.description)
    }
}

/// Reads on a thread with a stack smaller than that of the thread that reloads.
private func faultsOnSmallStack(in bytes: [UInt8]) -> [String] {
    final class Box: Sendable {
        let faults = Mutex<[String]>([])
        let done = DispatchSemaphore(value: 0)
    }
    let box = Box()
    let thread = Thread {
        let found = faults(in: bytes)
        box.faults.withLock { $0 = found }
        box.done.signal()
    }
    thread.stackSize = 512 << 10
    thread.start()
    box.done.wait()
    return box.faults.withLock { $0 }
}

/// Random numbers that are the same in every run.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
