import Testing

@testable import Moongate

@Suite struct ConnectionScheduleTests {
    private typealias Settings = ConnectionSchedule.Settings
    private static let second: UInt64 = 1_000_000_000
    private static let start: Instant = 1_000 * second

    /// How things stand, in seconds behind the start.
    private func view(
        _ now: Double, heard: Double = 0, idleSince: Double? = nil, established: Bool = true
    ) -> ConnectionSchedule.View {
        func instant(_ seconds: Double) -> Instant { Self.start + UInt64(seconds * 1e9) }
        return ConnectionSchedule.View(
            now: instant(now), isEstablished: established, heardAt: instant(heard),
            idleSince: idleSince.map(instant))
    }

    private func schedule(_ settings: Settings, random: UInt64 = 0) -> ConnectionSchedule {
        ConnectionSchedule(settings, at: Self.start, random: random)
    }

    private func seconds(_ due: Instant?) -> Double? { due.map { Double($0 - Self.start) / 1e9 } }

    @Test func withoutSettingsNothingEverHappens() {
        var empty = schedule(Settings())
        #expect(empty.next(view(1e6, idleSince: 0)) == nil && empty.due(view(0)) == nil)
        #expect(empty.due(view(0, established: false)) == nil)
    }

    @Test func whoDoesNotSpeakInTimeIsClosed() {
        var slow = schedule(Settings(handshake: 10 * Self.second))
        #expect(slow.next(view(9, established: false)) == nil)
        #expect(seconds(slow.due(view(9, established: false))) == 10)
        #expect(slow.next(view(10, established: false)) == .close(.handshake))
        var quick = schedule(Settings(handshake: 10 * Self.second))
        #expect(quick.next(view(11)) == nil && quick.due(view(11)) == nil)
    }

    @Test func A9ageIsSpreadByATenth() {
        let settings = Settings(maxAge: 100 * Self.second)
        #expect(seconds(schedule(settings).due(view(0))) == 90)
        #expect(seconds(schedule(settings, random: 20 * Self.second - 1).due(view(0)))?.rounded() == 110)
        #expect(seconds(schedule(settings, random: .max).due(view(0))).map { (90...110).contains($0) } == true)
        // Too short to be spread.
        #expect(schedule(Settings(maxAge: 1)).due(view(0)) != nil)
    }

    @Test func A9ageDrainsAndGraceEndsStreams() {
        var old = schedule(Settings(maxAge: 100 * Self.second, maxAgeGrace: 30 * Self.second))
        #expect(old.next(view(89)) == nil)
        #expect(old.next(view(90)) == .drain(.maxAge))
        old.drainBegan(at: view(90).now)
        #expect(old.next(view(90)) == nil && seconds(old.due(view(90))) == 93)
        #expect(old.next(view(93)) == .endDrain)
        #expect(old.next(view(93)) == nil && seconds(old.due(view(93))) == 120)
        #expect(old.next(view(120)) == .endStreams)
        #expect(seconds(old.due(view(120))) == 121)
        #expect(old.next(view(121)) == .close(.maxAge))
    }

    @Test func aNewcomerHasTimeBeforeItHearsOfADrain() {
        var new = schedule(Settings())
        new.drainSoon(at: view(5).now)
        #expect(new.next(view(5)) == nil && seconds(new.due(view(5))) == 6)
        #expect(new.next(view(6)) == .notice)
        new.drainBegan(at: view(6).now)
        new.drainSoon(at: view(6).now)
        #expect(new.next(view(6)) == nil && seconds(new.due(view(6))) == 9)
        #expect(new.next(view(9)) == .endDrain)
        #expect(new.next(view(1e6)) == nil && new.due(view(1e6)) == nil)
    }

    @Test func withoutGraceStreamsGoOn() {
        var old = schedule(Settings(maxAge: 100 * Self.second))
        #expect(old.next(view(95)) == .drain(.maxAge))
        old.drainBegan(at: view(95).now)
        #expect(old.next(view(98)) == .endDrain)
        #expect(old.next(view(1e6)) == nil && old.due(view(1e6)) == nil)
    }

    @Test func ageWithinADrainStillEndsStreams() {
        var old = schedule(Settings(maxAge: 100 * Self.second, maxAgeGrace: 10 * Self.second))
        old.drainBegan(at: view(50).now)
        #expect(old.next(view(53)) == .endDrain)
        #expect(old.next(view(90)) == nil)
        #expect(old.next(view(100)) == .endStreams)
    }

    @Test func idleCountsFromTheLastStream() {
        var idle = schedule(Settings(maxIdle: 60 * Self.second))
        #expect(idle.next(view(1000)) == nil && seconds(idle.due(view(1000))) == 1060)
        #expect(idle.next(view(1030, idleSince: 1000)) == nil)
        #expect(seconds(idle.due(view(1030, idleSince: 1000))) == 1060)
        #expect(idle.next(view(1060, idleSince: 1000)) == .drain(.maxIdle))
        #expect(idle.next(view(1060, idleSince: 1000)) == nil && idle.due(view(1060, idleSince: 1000)) == nil)
    }

    @Test func C9aSilentPeerIsAskedAndThenGivenUp() {
        let settings = Settings(pingInterval: 30 * Self.second, pingTimeout: 5 * Self.second)
        var quiet = schedule(settings)
        #expect(seconds(quiet.due(view(20, heard: 10, idleSince: 0))) == 40)
        #expect(quiet.next(view(39, heard: 10, idleSince: 0)) == nil)
        #expect(quiet.next(view(40, heard: 10, idleSince: 0)) == .ping)
        #expect(quiet.next(view(40, heard: 10, idleSince: 0)) == nil)
        #expect(seconds(quiet.due(view(40, heard: 10, idleSince: 0))) == 45)
        #expect(quiet.next(view(45, heard: 10, idleSince: 0)) == .close(.keepalive))
    }

    @Test func C9anAnswerOfAnyKindIsEnough() {
        let settings = Settings(pingInterval: 30 * Self.second, pingTimeout: 5 * Self.second)
        var alive = schedule(settings)
        #expect(alive.next(view(30)) == .ping)
        #expect(alive.next(view(35, heard: 31)) == nil)
        #expect(seconds(alive.due(view(35, heard: 31))) == 61)
        #expect(alive.next(view(61, heard: 31)) == .ping)
    }

    @Test func C9upstreamsAreNotAskedWithoutStreams() {
        let settings = Settings(
            pingInterval: 30 * Self.second, pingTimeout: 5 * Self.second, pingsWithoutStreams: false)
        var idle = schedule(settings)
        #expect(idle.next(view(1000, idleSince: 0)) == nil)
        #expect(seconds(idle.due(view(1000, idleSince: 0))) == 1030)
        #expect(idle.next(view(1001)) == .ping)
    }
}
