import Testing

@testable import Moongate

@Suite struct ResetBudgetTests {
    @Test func X6aFloodOfResetsIsCutOff() {
        var budget = ResetBudget(now: 0)
        var survived = 0
        while survived < 5000, budget.streamReset(now: 0) { survived += 1 }
        #expect(survived == 1000)
    }

    @Test func X6oneInTwentyCancelledIsFineForEver() {
        var budget = ResetBudget(now: 0)
        for number in 0..<100_000 {
            if number % 20 == 0 {
                let isFine = budget.streamReset(now: 0)
                #expect(isFine)
            } else {
                budget.streamFinished()
            }
        }
    }

    @Test func X6aClientThatCancelsAllOfItsFewStreamsIsFine() {
        var budget = ResetBudget(now: 0)
        for number in 0..<10_000 as Range<UInt64> {
            // Thirty a second.
            let isFine = budget.streamReset(now: number * 33_333_333)
            #expect(isFine)
        }
    }
}
