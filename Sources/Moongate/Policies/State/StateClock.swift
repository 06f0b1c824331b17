import Glibc
import Synchronization

/// The clocks that policies see: the monotonic one, by which shared state expires, and the time of day. Tests of policies
/// stop both and set them themselves.
final class StateClock: Sendable {
    /// 0: the clock runs.
    private let stopped = Atomic<UInt64>(0)
    /// Microseconds since 1970 while the clock is stopped.
    private let stoppedTime = Atomic<Int64>(0)

    @inline(__always) func now() -> Instant {
        let fixed = stopped.load(ordering: .relaxed)
        return fixed == 0 ? Clock.now() : fixed
    }

    /// Microseconds since 1970.
    func unixMicroseconds() -> Int64 {
        stopped.load(ordering: .relaxed) == 0 ? StateClock.timeOfDay() : stoppedTime.load(ordering: .relaxed)
    }

    /// Stops the clock, or moves it on where it has been stopped.
    func advance(by nanoseconds: UInt64) {
        let time = unixMicroseconds()
        let fixed = now()
        stoppedTime.store(time &+ Int64(clamping: nanoseconds / 1000), ordering: .relaxed)
        stopped.store(fixed &+ nanoseconds, ordering: .relaxed)
    }

    /// Stops the clock at a time of day. The monotonic clock stays where it is.
    func set(unixMicroseconds time: Int64) {
        advance(by: 0)
        stoppedTime.store(time, ordering: .relaxed)
    }

    private static func timeOfDay() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }
}
