import Testing

@testable import Moongate

@Suite struct LingerScheduleTests {
    private static let second: UInt64 = 1_000_000_000
    private static let start: Instant = 1_000 * second

    /// How things stand, in seconds behind the start.
    private func view(_ now: Double, _ unacknowledged: Int, closed: Bool = false) -> LingerSchedule.View {
        LingerSchedule.View(
            now: Self.start + UInt64(now * 1e9), unacknowledged: unacknowledged, peerHasClosed: closed)
    }

    private func schedule(_ unacknowledged: Int, _ limits: LingerSchedule.Limits = .response) -> LingerSchedule {
        LingerSchedule(limits, view(0, unacknowledged))
    }

    /// Looks as often as the schedule wants to, at a peer that has `left(now)` octets still to acknowledge; when it closes, in
    /// seconds.
    private func end(_ limits: LingerSchedule.Limits = .response, _ left: (Double) -> Int) -> Double {
        var schedule = schedule(left(0), limits)
        var now = 0.0
        while now < 100 {
            guard case .wait(let pause) = schedule.next(view(now, left(now))) else { return now }
            #expect(pause > 0)
            now += Double(pause) / 1e9
        }
        return now
    }

    @Test func aPeerThatHasClosedIsNotWaitedFor() {
        for state in [0, 1000] {
            var schedule = schedule(state)
            #expect(schedule.next(view(0, state)) != .close)
            #expect(schedule.next(view(0.1, state, closed: true)) == .close)
        }
    }

    @Test func whoHasEverythingHasASecondForIt() {
        var schedule = schedule(0)
        #expect(schedule.next(view(0, 0)) == .wait(Self.second))
        #expect(schedule.next(view(0.4, 0)) == .wait(600_000_000))
        #expect(schedule.next(view(1, 0)) == .close)
    }

    @Test func theSecondBeginsWhenTheLastOctetHasArrived() {
        let closed = end { $0 < 3 ? 1000 - Int($0 * 100) : 0 }
        #expect(closed > 3.99 && closed < 4.2, "\(closed)")
    }

    @Test func withoutProgressFiveSecondsAreEnough() {
        #expect(abs(end { _ in 1000 } - 5) < 0.001)
        // It stops when four seconds have passed.
        let closed = end { 1000 - Int(min($0, 4) * 100) }
        #expect(closed > 8.9 && closed < 9.2, "\(closed)")
    }

    @Test func progressEveryFewSecondsIsEnoughForHalfAMinute() {
        #expect(abs(end { 1000 - Int($0 / 4) } - 30) < 0.001)
    }

    @Test func aFarewellHasASecondInAll() {
        #expect(abs(end(.farewell) { 1_000_000 - Int($0 * 1000) } - 1) < 0.001)
        #expect(abs(end(.farewell) { $0 < 0.5 ? 1000 : 0 } - 1) < 0.001)
    }

    @Test func itIsLookedAtOftenOnlyWhileSomethingIsOnItsWay() {
        var schedule = schedule(1000)
        #expect(schedule.next(view(0, 1000)) == .wait(100_000_000))
        #expect(schedule.next(view(0.1, 10)) == .wait(100_000_000))
        #expect(schedule.next(view(0.2, 0)) == .wait(Self.second))
    }
}
