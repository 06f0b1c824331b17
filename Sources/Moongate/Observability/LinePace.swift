/// How many lines about the same thing a log gets: a few at a time, however much there is to say. A value.
struct LinePace {
    /// Nanoseconds.
    private static let period: UInt64 = 10_000_000_000

    private let linesPerPeriod: Int
    private var begun: Instant = 0
    private var lines = 0
    /// Those that got no line since the last one.
    private var unsaid = 0

    /// - Parameter lines: in ten seconds.
    init(lines: Int) { linesPerPeriod = lines }

    /// - Returns: how many others a line now has to tell of; `nil`: no line.
    mutating func admit(at now: Instant) -> Int? {
        if now &- begun >= LinePace.period {
            begun = now
            lines = 0
        }
        guard lines < linesPerPeriod else {
            unsaid += 1
            return nil
        }
        lines += 1
        defer { unsaid = 0 }
        return unsaid
    }
}
