import Foundation
import Testing

@testable import Moongate

/// Worlds by chance, in the build of the tests, where assertions and checks of exclusive access are on.
@Suite(.serialized) struct WorldTests {
    private static let client = FuzzTarget.named("client-connection")
    private static let seconds = ProcessInfo.processInfo.environment["MOONGATE_FUZZ_SECONDS"].flatMap(Double.init)

    private static let file = ProcessInfo.processInfo.environment["MOONGATE_FUZZ_WORLD"]

    private static func play(_ script: [UInt8]) throws {
        let target = try #require(client)
        try script.withUnsafeBufferPointer { try target.run($0) }
    }

    /// A fuzzer that never gets somewhere finds nothing there.
    @Test func everythingHappensInSomeWorlds() throws {
        for seed in 0..<UInt64(150) {
            var maker = FuzzScriptMaker(seed: seed)
            do {
                try WorldTests.play(maker.script())
            } catch {
                Issue.record("seed \(seed): \(error)")
            }
        }
        let counts = try FuzzTarget.worldCounts()
        for event in FuzzTally.Event.allCases {
            #expect(counts[event, default: 0] > 0, "\(event) never happens: \(counts)")
        }
    }

    /// One script: `MOONGATE_FUZZ_WORLD=FILE swift test --filter oneWorld`.
    @Test(.enabled(if: WorldTests.file != nil)) func oneWorld() throws {
        try WorldTests.play([UInt8](Data(contentsOf: URL(fileURLWithPath: WorldTests.file ?? ""))))
    }

    /// What a seed leads to is written down before it happens: it may end the process.
    @Test(.enabled(if: WorldTests.seconds != nil)) func worldsForSomeTime() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("moongate-world-\(getpid())")
        let end = Date.now.addingTimeInterval(WorldTests.seconds ?? 0)
        var seed = UInt64.random(in: 0...UInt64.max / 2)
        print("worlds from seed \(seed); the one that is played is in \(file.path)")
        var played = 0
        while Date.now < end {
            var maker = FuzzScriptMaker(seed: seed)
            let script = maker.script()
            try Data(script).write(to: file)
            do {
                try WorldTests.play(script)
            } catch {
                try Data(script).write(to: file.appendingPathExtension("\(seed)"))
                Issue.record("seed \(seed), in \(file.path).\(seed): \(error)")
            }
            seed += 1
            played += 1
        }
        print("\(played) worlds: \(try FuzzTarget.worldCounts())")
        try FileManager.default.removeItem(at: file)
    }
}
