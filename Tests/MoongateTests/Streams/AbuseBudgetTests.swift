import Testing

@testable import Moongate

@Suite struct AbuseBudgetTests {
    private static let second: Instant = 1_000_000_000

    private func survived(_ kind: Abuse, _ budget: inout AbuseBudget, now: Instant = 0) -> Int {
        var count = 0
        while count < 50_000, budget.spend(kind, now: now) { count += 1 }
        return count
    }

    @Test(arguments: [
        (Abuse.rapidReset, 1000), (.madeYouReset, 1000), (.ping, 1000), (.settings, 100), (.priority, 1000),
        (.windowUpdate, 10_000), (.emptyData, 1000), (.tinyData, 10_000), (.oversizedHeaders, 20),
        (.informational, 1000),
        (.stray, 1000),
    ])
    func aFloodEndsAtTheLimitAndLeavesOtherKindsAlone(kind: Abuse, limit: Int) {
        var budget = AbuseBudget(AbuseLimits(), now: 0)
        #expect(survived(kind, &budget) == limit)
        let other: Abuse = kind == .ping ? .stray : .ping
        let isFine = budget.spend(other, now: 0)
        #expect(isFine)
    }

    @Test func aSecondGivesBackATenth() {
        var budget = AbuseBudget(AbuseLimits(), now: 0)
        #expect(survived(.ping, &budget) == 1000)
        #expect(survived(.ping, &budget, now: AbuseBudgetTests.second) == 100)
        // However long it was quiet, there is no more than the limit.
        #expect(survived(.ping, &budget, now: 1000 * AbuseBudgetTests.second) == 1000)
    }

    @Test func workEarnsMore() {
        var budget = AbuseBudget(AbuseLimits(), now: 0)
        for _ in 0..<100_000 {
            budget.frames &+= 1
            let isFine =
                budget.spend(.ping, now: 0) && budget.spend(.windowUpdate, now: 0)
                && budget.spend(.windowUpdate, now: 0)
            guard isFine else { Issue.record("cut off"); return }
        }
        // What was earned long ago is not hoarded.
        #expect(survived(.ping, &budget) <= 2000)
    }

    /// All DATA is out before the first of them is answered.
    @Test func answersToManyFramesAtOnceAreFine() {
        var budget = AbuseBudget(AbuseLimits(), now: 0)
        budget.frames = 20_000
        for _ in 0..<40_000 {
            let isFine = budget.spend(.windowUpdate, now: 0)
            guard isFine else { Issue.record("cut off"); return }
        }
    }

    @Test func whatWorkEarnsIsBounded() {
        var budget = AbuseBudget(AbuseLimits(), now: 0)
        budget.frames = 10_000_000
        #expect(survived(.ping, &budget) == 17_000)
    }

    @Test func workDoesNotEarnEmptyFrames() {
        var budget = AbuseBudget(AbuseLimits(), now: 0)
        budget.frames = 1_000_000
        #expect(survived(.emptyData, &budget) == 1000)
    }

    @Test func X6oneInTwentyCancelledIsFineForEver() {
        var budget = AbuseBudget(AbuseLimits(), now: 0)
        for number in 0..<100_000 {
            if number % 20 == 0 {
                let isFine = budget.spend(.rapidReset, now: 0)
                #expect(isFine)
            } else {
                budget.finished &+= 1
            }
        }
    }

    @Test func X6aClientThatCancelsAllOfItsFewStreamsIsFine() {
        var budget = AbuseBudget(AbuseLimits(), now: 0)
        for number in 0..<10_000 as Range<UInt64> {
            // Thirty a second.
            let isFine = budget.spend(.rapidReset, now: number * 33_333_334)
            #expect(isFine)
        }
    }

    @Test func limitsCanBeSet() {
        var budget = AbuseBudget(AbuseLimits(controlFrames: 10, resets: 20), now: 0)
        #expect(survived(.ping, &budget) == 10)
        #expect(survived(.settings, &budget) == 20)
        #expect(survived(.rapidReset, &budget) == 20)
    }

    @Test func everyKindHasAnAccountAndANameOfItsOwn() {
        #expect(Abuse.allCases.count <= 17)
        #expect(Set(Abuse.allCases.map { "\($0.label)" }).count == Abuse.allCases.count)
        #expect(Set(Abuse.allCases.map(\.text)).count == Abuse.allCases.count)
    }
}
