import Testing

@testable import Moongate

@Suite struct TurnShareTests {
    @Test func aTurnTakesAFewAndTheNextOneAsMany() {
        let share = TurnShare(8)
        for now in [1, 2] as [Instant] {
            let taken = (0..<100).count { _ in share.take(now: now) }
            #expect(taken == 8)
        }
    }
}
