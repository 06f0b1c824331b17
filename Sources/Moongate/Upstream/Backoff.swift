/// When an endpoint that failed may be tried again: 100 ms, then 1.6 times as long after every failure, at most
/// 10 s, spread by ±20 % (gRPC's connection-backoff.md, with an edge's shorter times).
struct Backoff {
    private static let initial: UInt64 = 100_000_000
    private static let longest: UInt64 = 10_000_000_000

    private var current: UInt64 = 0

    /// The next pause in nanoseconds. `random` spreads it.
    mutating func next(random: UInt64) -> UInt64 {
        current = current == 0 ? Backoff.initial : min(current / 10 * 16, Backoff.longest)
        return current / 10 * 8 + random % (current / 10 * 4)
    }

    mutating func reset() { current = 0 }
}
