import Testing

@testable import Moongate

/// How long a policy that wants too much memory has to wait for a new script engine.
@Suite struct OffencesTests {
    private let second: UInt64 = 1_000_000_000

    @Test func theFirstIsForgivenAtOnceAndEachFurtherOneCostsTwiceAsMuch() {
        var offences = Offences()
        var now: UInt64 = 5 * second
        var pauses: [UInt64] = []
        for _ in 0..<9 {
            pauses.append(offences.pause(at: now) / second)
            now += 2 * second
        }
        #expect(pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60])
    }

    @Test func tenGoodMinutesAreEnough() {
        var offences = Offences()
        _ = offences.pause(at: second)
        #expect(offences.pause(at: 2 * second) == second)
        #expect(offences.pause(at: 700 * second) == 0)
    }
}
