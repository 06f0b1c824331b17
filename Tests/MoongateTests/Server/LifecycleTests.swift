import MoongateConfig
import Testing

@testable import Moongate

@Suite struct LifecycleTests {
    private let settings = DrainConfig(delay: .nanoseconds(50), grace: .nanoseconds(300))
    private let lastFrames = Duration.seconds(1).nanoseconds

    @Test func drainGoesThroughDelayAndGraceToItsEnd() {
        var lifecycle = Lifecycle()
        #expect(lifecycle.deadline == nil)
        #expect(lifecycle.terminate(settings, skipDelay: false, at: 1000) == [.announce])
        #expect(lifecycle.deadline == 1050)
        #expect(lifecycle.timePassed(at: 1049) == [])
        #expect(lifecycle.timePassed(at: 1060) == [.drain])
        #expect(lifecycle.deadline == 1360)
        #expect(lifecycle.timePassed(at: 1359) == [])
        #expect(lifecycle.timePassed(at: 1360) == [.endStreams])
        #expect(lifecycle.deadline == 1360 + lastFrames)
        #expect(lifecycle.timePassed(at: 1360 + lastFrames) == [.stop])
        #expect(lifecycle.phase == .stopped)
        #expect(lifecycle.deadline == nil)
    }

    @Test func lastStreamEndsTheDrainEarly() {
        var lifecycle = Lifecycle()
        _ = lifecycle.terminate(settings, skipDelay: false, at: 0)
        // Idle workers say nothing yet: listeners still accept.
        #expect(lifecycle.drained() == [])
        _ = lifecycle.timePassed(at: 50)
        #expect(lifecycle.drained() == [.stop])
        #expect(lifecycle.drained() == [])
        #expect(lifecycle.haste == .orderly)
    }

    @Test func endedStreamsStopTheWait() {
        var lifecycle = Lifecycle()
        _ = lifecycle.terminate(settings, skipDelay: true, at: 0)
        _ = lifecycle.timePassed(at: 300)
        #expect(lifecycle.drained() == [.stop])
    }

    @Test func ctrlCSkipsTheDelay() {
        var lifecycle = Lifecycle()
        #expect(lifecycle.terminate(settings, skipDelay: true, at: 1000) == [.announce, .drain])
        #expect(lifecycle.phase == .draining(until: 1300))
    }

    @Test func secondSignalStopsAtOnceInEveryPhase() {
        for instant: Instant in [0, 49, 50, 349, 350] {
            var lifecycle = Lifecycle()
            _ = lifecycle.terminate(settings, skipDelay: false, at: 0)
            _ = lifecycle.timePassed(at: instant)
            if instant >= 350 { _ = lifecycle.timePassed(at: instant) }
            #expect(lifecycle.haste == .orderly)
            #expect(lifecycle.terminate(settings, skipDelay: false, at: instant) == [.stop])
            #expect(lifecycle.haste == .atOnce)
            #expect(lifecycle.terminate(settings, skipDelay: false, at: instant) == [])
        }
    }

    @Test func zeroGraceEndsStreamsAtTheNextTurn() {
        var lifecycle = Lifecycle()
        let none = DrainConfig(delay: .zero, grace: .zero)
        #expect(lifecycle.terminate(none, skipDelay: false, at: 7) == [.announce, .drain])
        #expect(lifecycle.deadline == 7)
        #expect(lifecycle.timePassed(at: 7) == [.endStreams])
    }
}

@Suite struct DebounceTests {
    private let millisecond: UInt64 = 1_000_000

    @Test func burstIsOneEventAfterQuiet() {
        var debounce = Debounce()
        #expect(debounce.due == nil)
        for instant in [0, 40, 80] as [UInt64] { debounce.changed(at: instant * millisecond) }
        let early = debounce.take(at: 179 * millisecond)
        let due = debounce.take(at: 180 * millisecond)
        let again = debounce.take(at: 999 * millisecond)
        #expect(!early && due && !again)
    }

    @Test func endlessChangesWaitASecondAtMost() {
        var debounce = Debounce()
        var taken: UInt64?
        for instant in stride(from: 0, through: 3000, by: 50) as StrideThrough<UInt64> {
            debounce.changed(at: instant * millisecond)
            if taken == nil && debounce.take(at: instant * millisecond) { taken = instant }
        }
        #expect(taken == 1000)
    }

    @Test func forgottenChangesAreNotDue() {
        var debounce = Debounce()
        debounce.changed(at: 0)
        debounce.forget()
        #expect(debounce.due == nil)
        let taken = debounce.take(at: .max)
        #expect(!taken)
    }
}
