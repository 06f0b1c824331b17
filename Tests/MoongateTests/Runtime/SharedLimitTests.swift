import Testing

@testable import Moongate

@Suite struct SharedLimitTests {
    @Test func noMoreThanTheBoundBegin() {
        let limit = SharedLimit()
        limit.setBound(2)
        #expect(limit.tryBegin() && limit.tryBegin())
        #expect(limit.isFull && !limit.tryBegin())
        #expect(limit.value == 2)
        limit.end()
        #expect(!limit.isFull && limit.tryBegin())
    }

    @Test func withoutABoundAnyNumberBegins() {
        let limit = SharedLimit()
        for _ in 0..<1000 { #expect(limit.tryBegin()) }
        #expect(!limit.isFull)
    }

    @Test func loweredBoundRefusesUntilEnoughHaveEnded() {
        let limit = SharedLimit()
        for _ in 0..<3 { _ = limit.tryBegin() }
        limit.setBound(2)
        limit.end()
        #expect(!limit.tryBegin())
        limit.end()
        #expect(limit.tryBegin())
    }

    @Test func threadsTogetherKeepTheBound() async {
        let limit = SharedLimit()
        limit.setBound(5)
        let most = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    var most = 0
                    for _ in 0..<20_000 where limit.tryBegin() {
                        // Others may be between their attempt and taking it back, but never more are let in.
                        most += 1
                        limit.end()
                    }
                    return most
                }
            }
            return await group.reduce(0, +)
        }
        #expect(most > 0)
        #expect(limit.value == 0)
    }
}
