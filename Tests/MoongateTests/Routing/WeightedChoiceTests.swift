import Testing

@testable import Moongate

@Suite struct WeightedChoiceTests {
    private func shares(_ weights: [Int], draws: Int = 100_000) -> [Double] {
        let choice = WeightedChoice(weights: weights)
        var random = SeededGenerator(state: 7)
        var counts = [Int](repeating: 0, count: weights.count)
        for _ in 0..<draws { if let pick = choice.pick(random.next()) { counts[pick] += 1 } }
        return counts.map { Double($0) / Double(draws) }
    }

    @Test func G6SharesFollowTheWeightsAndZeroGetsNothing() {
        let shares = shares([70, 30, 0])
        #expect(abs(shares[0] - 0.7) < 0.01)
        #expect(abs(shares[1] - 0.3) < 0.01)
        #expect(shares[2] == 0)
    }

    @Test func zeroWeightsAnywhereGetNothing() {
        let shares = shares([0, 1, 0, 0, 3, 0])
        #expect(abs(shares[1] - 0.25) < 0.01)
        #expect(shares[1] + shares[4] == 1)
    }

    @Test(arguments: [0, 1, 1 << 63, UInt64.max] as [UInt64])
    func edgesOfTheRandomRangeStayInside(random: UInt64) {
        #expect(WeightedChoice(weights: [1, 1, 0]).pick(random) == (random >> 63 == 0 ? 0 : 1))
        #expect(WeightedChoice(weights: [0, 5]).pick(random) == 1)
        #expect(WeightedChoice(weights: [.max, .max, .max, -3]).pick(random) != nil)
    }

    @Test func withoutAnyWeightNothingIsPicked() {
        #expect(WeightedChoice(weights: []).pick(1) == nil)
        #expect(WeightedChoice(weights: [0, -1]).pick(1) == nil)
    }
}
