import MoongateConfig
import Testing

@testable import Moongate

@Suite struct RetryPlanTests {
    private static func plan(_ initial: Duration, _ maximum: Duration) -> RetryPlan {
        RetryPlan(
            RetryConfig(on: [.status(.unavailable)], backoff: RetryConfig.Backoff(initial: initial, maximum: maximum)))
    }

    @Test(arguments: [(1, 100), (2, 200), (3, 400), (4, 500), (200, 500)] as [(UInt8, UInt64)])
    func A6pausesDoubleUpToTheLongestAndSpreadByAFifth(number: UInt8, middle: UInt64) {
        let plan = Self.plan(.milliseconds(100), .milliseconds(500))
        let pauses = (0..<1000).map { _ in plan.pause(after: number, random: .random(in: 0...UInt64.max)) / 1_000_000 }
        #expect(pauses.allSatisfy { $0 >= middle * 8 / 10 && $0 <= middle * 12 / 10 })
        #expect(Set(pauses).count > 10)
    }

    @Test func noPauseOverflows() {
        let plan = Self.plan(.seconds(60), .seconds(600))
        #expect(plan.pause(after: 255, random: UInt64.max) <= 720_000_000_000)
    }

    @Test func conditionsCoverWhatTheyName() {
        let plan = RetryPlan(RetryConfig(on: [.status(.unavailable), .gatewayError]))
        #expect(!plan.covered.isDisjoint(with: .status(.unavailable)))
        #expect(plan.covered.isDisjoint(with: .status(.internal)))
        #expect(!plan.covered.isDisjoint(with: .http(503)))
        #expect(plan.covered.isDisjoint(with: .http(500)))
        #expect(plan.covered.isDisjoint(with: .http(404)))
        #expect(!plan.covered.isDisjoint(with: .timedOut))
    }

    @Test(arguments: RetryConfig.Condition.allCases)
    func everyConditionIsABitOfItsOwn(condition: RetryConfig.Condition) {
        let one = RetryPlan.Endings([condition])
        let others = RetryPlan.Endings(RetryConfig.Condition.allCases.filter { $0 != condition })
        #expect(one.rawValue.nonzeroBitCount == 1)
        #expect(one.isDisjoint(with: others))
    }

    @Test func aRouteWithoutRetryMakesOneAttempt() {
        #expect(!RetryPlan().isEnabled)
        #expect(RetryPlan(HedgeConfig(methods: ["a/b"])).isHedged)
    }
}
