import Testing

@testable import Moongate

@Suite struct StallDetectorTests {
    private let second: UInt64 = 1_000_000_000
    private let half: UInt64 = 500_000_000

    private func reading(_ pulse: UInt64, cpu: UInt64 = 0, blocked: Bool = false) -> WorkerStallDetector.Reading {
        WorkerStallDetector.Reading(pulse: pulse, cpuTime: cpu, isBlocked: blocked)
    }

    /// Looks every half second at a thread within turn 7.
    private func look(
        _ detector: inout WorkerStallDetector, times: Int, blocked: Bool = false, cpuOfLook: UInt64 = 0,
        elapsed: UInt64? = nil
    ) -> [WorkerStallDetector.Change] {
        (0..<times).map { index in
            detector.look(
                reading(7, cpu: UInt64(index) * cpuOfLook, blocked: blocked), elapsed: elapsed ?? half,
                limit: 2 * second)
        }
    }

    @Test func threadThatRunsInOneTurnIsStalledByItsCPUTime() {
        var detector = WorkerStallDetector()
        // The first look sees the turn, the fifth two seconds of it.
        #expect(look(&detector, times: 5, cpuOfLook: half) == [.none, .none, .none, .none, .stalled])
        #expect(detector.stuck == 2 * second)
        #expect(detector.look(reading(7, cpu: 3 * second), elapsed: half, limit: 2 * second) == .none)
        #expect(detector.isStalled && detector.stuck == 3 * second)
    }

    @Test func turnsAreNoStallHoweverMuchTheyCompute() {
        var detector = WorkerStallDetector()
        for turn in UInt64(0)..<20 {
            let next = reading(2 * turn + 1, cpu: turn * 5 * second)
            #expect(detector.look(next, elapsed: half, limit: 2 * second) == .none)
        }
        #expect(detector.stuck == 0)
    }

    @Test func loopThatWaitsForWorkIsIdle() {
        var detector = WorkerStallDetector()
        for _ in 0..<20 { #expect(detector.look(reading(8), elapsed: half, limit: 2 * second) == .none) }
        #expect(!detector.isSameTurn(8))
    }

    @Test func pausedMachineIsNoStall() {
        var detector = WorkerStallDetector()
        // An hour passes between two looks, and the thread has not run.
        #expect(look(&detector, times: 3, elapsed: 3600 * second).allSatisfy { $0 == .none })
        #expect(detector.stuck == 0)
        // One that is blocked as the machine goes on has been so for an interval, as far as anybody knows.
        _ = detector.look(reading(7, blocked: true), elapsed: 3600 * second, limit: 2 * second)
        #expect(detector.stuck == half)
    }

    @Test func threadWithoutACoreIsNoStall() {
        var detector = WorkerStallDetector()
        #expect(look(&detector, times: 100, cpuOfLook: 1_000_000).allSatisfy { $0 == .none })
    }

    @Test func blockedThreadIsStalledByTheTimeOfTheLooks() {
        var detector = WorkerStallDetector()
        #expect(look(&detector, times: 5, blocked: true) == [.none, .none, .none, .none, .stalled])
    }

    @Test func nextTurnIsARecovery() {
        var detector = WorkerStallDetector()
        _ = look(&detector, times: 6, cpuOfLook: half)
        #expect(detector.look(reading(8, cpu: 9 * second), elapsed: half, limit: 2 * second) == .recovered)
        #expect(!detector.isStalled && detector.stuck == 0)
        #expect(detector.look(reading(9, cpu: 9 * second), elapsed: half, limit: 2 * second) == .none)
        // The next stall counts from its own beginning.
        #expect(detector.look(reading(9, cpu: 10 * second), elapsed: half, limit: 2 * second) == .none)
        #expect(detector.look(reading(9, cpu: 11 * second), elapsed: half, limit: 2 * second) == .stalled)
    }
}
