import Testing

@testable import Moongate

@Suite struct HealthBellTests {
    private final class Count: HealthListener {
        let news = Locked(0)
        func hear(_ one: HealthEvent) { news.withLock { $0 += 1 } }
    }

    /// A closure in the bell's lock was wrapped once more with each news, and after some 95,000 of them the stack was spent.
    @Test func aBellThatRingsOftenCostsTheSameEachTime() {
        let (bell, count) = (HealthWaker(), Count())
        bell.connect(count)
        let upstream = SharedUpstream(name: "a")
        for _ in 0..<300_000 { bell.ring(.members(upstream)) }
        #expect(count.news.withLock { $0 } == 300_000)
        bell.disconnect()
        bell.ring(.members(upstream))
        #expect(count.news.withLock { $0 } == 300_000)
    }
}
