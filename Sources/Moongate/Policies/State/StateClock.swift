import Synchronization

/// The monotonic clock by which shared state expires. Tests of policies stop it and set it themselves.
final class StateClock: Sendable {
    /// 0: the clock runs.
    private let stopped = Atomic<UInt64>(0)

    @inline(__always) func now() -> Instant {
        let fixed = stopped.load(ordering: .relaxed)
        return fixed == 0 ? Clock.now() : fixed
    }

    /// Stops the clock, or moves it on where it has been stopped.
    func advance(by nanoseconds: UInt64) {
        let fixed = stopped.load(ordering: .relaxed)
        stopped.store((fixed == 0 ? Clock.now() : fixed) &+ nanoseconds, ordering: .relaxed)
    }
}
