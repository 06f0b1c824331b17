/// How long something took, counted in fixed buckets: the cells that one thread writes.
///
/// Bounds go 1 – 2.5 – 5 per decade from 100 µs to 60 s, so that a quantile read from them is off by at most a
/// factor of 2.5, and the same metric can be added over routes, workers and replicas.
struct LatencyHistogram {
    /// Upper bounds in microseconds, inclusive as Prometheus' `le` wants them.
    static let bounds: [UInt64] = [
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
        1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
    ]
    /// One bucket per bound, one for everything longer, and the sum of all in microseconds.
    static let columns = 20
    static let sumColumn = 19

    private let row: CounterRow

    init(_ row: CounterRow) { self.row = row }

    @inline(__always) func record(microseconds: UInt64) {
        row[LatencyHistogram.bucket(microseconds)].add()
        row[LatencyHistogram.sumColumn].add(microseconds)
    }

    /// A ladder of constants instead of a walk through `bounds`: most calls end in its first steps.
    @inline(__always) static func bucket(_ microseconds: UInt64) -> Int {
        switch microseconds {
        case ...100: 0
        case ...250: 1
        case ...500: 2
        case ...1_000: 3
        case ...2_500: 4
        case ...5_000: 5
        case ...10_000: 6
        case ...25_000: 7
        case ...50_000: 8
        case ...100_000: 9
        case ...250_000: 10
        case ...500_000: 11
        case ...1_000_000: 12
        case ...2_500_000: 13
        case ...5_000_000: 14
        case ...10_000_000: 15
        case ...30_000_000: 16
        case ...60_000_000: 17
        default: 18
        }
    }
}
