/// How fast connections are accepted: a bucket that holds those of a tenth of a second, at least one.
struct AcceptRate {
    private static let second: UInt64 = 1_000_000_000

    /// Nanoseconds from one connection to the next.
    private let pace: UInt64
    /// Nanoseconds' worth of connections that may come at once.
    private let depth: UInt64
    /// When the bucket would be empty at this pace; in the past, as far as it is full.
    private var dueAt: Instant

    /// - Parameter rate: connections per second, at least 1.
    init(_ rate: Int, now: Instant) {
        pace = AcceptRate.second / UInt64(max(1, rate))
        depth = max(AcceptRate.second / 10, pace)
        dueAt = now &- min(now, depth)
    }

    /// Nanoseconds until the next connection may be taken; `nil`: one may be taken now.
    mutating func wait(now: Instant) -> UInt64? {
        dueAt = max(dueAt, now &- min(now, depth))
        let next = dueAt &+ pace
        return next > now ? next - now : nil
    }

    mutating func took() { dueAt &+= pace }
}
