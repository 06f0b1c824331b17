import Testing

@testable import Moongate

@Suite struct LockedTests {
    @Test func threadsTakeTurns() throws {
        let count = Locked(0)
        let threads = try (0..<4).map { index in
            try OSThread.start(name: "turn \(index)") {
                for _ in 0..<5_000 { count.withLock { $0 += 1 } }
            }
        }
        for thread in threads { thread.join() }
        #expect(count.withLock { $0 } == 20_000)
    }

    @Test func anErrorGivesTheLockBack() {
        struct Fault: Error {}
        let value = Locked("a")
        #expect(throws: Fault.self) {
            try value.withLock { value throws(Fault) in
                value = "b"
                throw Fault()
            }
        }
        #expect(value.withLock { $0 } == "b")
    }
}
