import Testing

@testable import Moongate

@Suite struct WeightedChoiceTests {
    private func shares(_ weights: [Int], draws: Int = 100_000) -> [Double] {
        let choice = WeightedChoice(weights: weights)
        defer { choice.free() }
        var random = SeededGenerator(state: 7)
        var counts = [Int](repeating: 0, count: weights.count)
        for _ in 0..<draws { if let pick = choice.pick(random.next()) { counts[pick] += 1 } }
        return counts.map { Double($0) / Double(draws) }
    }

    private func pick(_ weights: [Int], _ random: UInt64) -> Int? {
        let choice = WeightedChoice(weights: weights)
        defer { choice.free() }
        return choice.pick(random)
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
        #expect(pick([1, 1, 0], random) == (random >> 63 == 0 ? 0 : 1))
        #expect(pick([0, 5], random) == 1)
        #expect(pick([.max, .max, .max, -3], random) != nil)
    }

    @Test func withoutAnyWeightNothingIsPicked() {
        #expect(pick([], 1) == nil)
        #expect(pick([0, -1], 1) == nil)
    }
}
