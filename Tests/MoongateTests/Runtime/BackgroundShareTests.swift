import Testing

@testable import Moongate

@Suite struct BackgroundShareTests {
    private let ms: UInt64 = 1_000_000

    @Test func turnInWhichTheyHadTheirTimeIsNotTheirsAgain() {
        var share = BackgroundShare()
        let isDue = share.isDue(events: 0, turn: 0..<40 * ms)
        #expect(!isDue)
        // Others may have something under way.
        #expect(share.delay == 2)
    }

    @Test func theyGoOnOnceNothingComes() {
        var share = BackgroundShare()
        _ = share.isDue(events: 1, turn: 0..<40 * ms)
        let whileOthersCome = share.isDue(events: 3, turn: 40 * ms..<41 * ms)
        #expect(!whileOthersCome)
        let afterSilence = share.isDue(events: 0, turn: 41 * ms..<43 * ms)
        #expect(afterSilence)
    }

    @Test func othersGetAsMuchTimeAndNoMore() {
        var share = BackgroundShare()
        _ = share.isDue(events: 1, turn: 0..<40 * ms)
        let soon = share.isDue(events: 1, turn: 78 * ms..<79 * ms)
        #expect(!soon)
        let late = share.isDue(events: 1, turn: 79 * ms..<80 * ms)
        #expect(late)
    }

    @Test func nobodyWaitsWhereNothingElseHappens() {
        var share = BackgroundShare()
        _ = share.isDue(events: 1, turn: 0..<10 * ms)
        share.taken(20 * ms..<50 * ms)
        #expect(share.delay == 0)
        let isDue = share.isDue(events: 0, turn: 50 * ms..<50 * ms)
        #expect(isDue)
    }
}
