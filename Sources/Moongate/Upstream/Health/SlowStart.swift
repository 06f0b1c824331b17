import MoongateConfig

/// The share of the requests that an endpoint gets while it warms up.
struct SlowStart {
    let window: UInt64
    private let minimum: Double

    init(_ config: SlowStartConfig) {
        window = max(1, config.window.nanoseconds)
        minimum = Double(config.minWeightPercent) / 100
    }

    /// 0 to 1, of its full share.
    func share(since start: Instant, now: Instant) -> Double {
        guard now > start else { return minimum }
        return min(1, max(minimum, Double(now - start) / Double(window)))
    }

    func isWarm(since start: Instant, now: Instant) -> Bool { now > start && now - start >= window }
}
