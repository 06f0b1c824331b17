import MoongateConfig

/// How often an endpoint was ejected lately, which decides how long the next time is.
struct EjectionHistory: Equatable {
    private(set) var times = 0
    private var endedAt: Instant = 0

    /// Begins an ejection.
    /// - Returns: how long it lasts, in nanoseconds: as many times the base as ejections are remembered, this one
    ///   included.
    mutating func begin(_ config: OutlierDetectionConfig, now: Instant) -> UInt64 {
        let interval = max(1, config.interval.nanoseconds)
        if endedAt > 0, now > endedAt {
            times -= Int(clamping: min(UInt64(times), (now - endedAt) / interval))
        }
        times += 1
        let (product, overflows) = config.baseEjectionTime.nanoseconds.multipliedReportingOverflow(by: UInt64(times))
        let longest = max(config.maxEjectionTime.nanoseconds, config.baseEjectionTime.nanoseconds)
        return overflows ? longest : min(product, longest)
    }

    mutating func end(now: Instant) { endedAt = now }

    /// Whether one more endpoint may be ejected: another share of them is not out yet.
    static func hasRoom(ejected: Int, of total: Int, _ config: OutlierDetectionConfig) -> Bool {
        ejected * 100 < total * config.maxEjectionPercent
    }
}
