/// How long hooks ran, in buckets fine enough for quantiles: four to each doubling, from 128 ns to 17 s. The cells that
/// one thread writes.
struct HookTimes {
    private static let firstOctave = 7
    private static let octaves = 27
    static let buckets = octaves * 4
    /// The buckets, and the longest time seen.
    static let columns = buckets + 1

    let row: CounterRow

    @inline(__always) func record(nanoseconds: UInt64) {
        row[HookTimes.bucket(nanoseconds)].add()
        let longest = row[HookTimes.buckets]
        if nanoseconds > longest.value { longest.set(nanoseconds) }
    }

    static func bucket(_ nanoseconds: UInt64) -> Int {
        let time = max(nanoseconds, 1 << UInt64(firstOctave))
        let octave = 63 - time.leadingZeroBitCount
        let quarter = Int(truncatingIfNeeded: time >> UInt64(octave - 2)) & 3
        return min((octave - firstOctave) * 4 + quarter, buckets - 1)
    }

    /// The upper end of a bucket, in nanoseconds.
    static func end(of bucket: Int) -> UInt64 {
        UInt64(bucket % 4 + 5) << UInt64(bucket / 4 + firstOctave - 2)
    }
}

/// What the times of a hook say, over all workers. Times in nanoseconds.
struct HookTimeSummary: Equatable {
    var samples: UInt64 = 0
    /// Upper bounds, at most a quarter too large.
    var median: UInt64 = 0
    var percentile99: UInt64 = 0
    var longest: UInt64 = 0

    init(_ block: CounterBlock, first: Int) {
        let counts = (0..<HookTimes.buckets).map { block.total(first + $0) }
        samples = counts.reduce(0, &+)
        longest = (0..<block.rows).map { block.row($0)[first + HookTimes.buckets].value }.max() ?? 0
        median = min(quantile(counts, 0.5), longest)
        percentile99 = min(quantile(counts, 0.99), longest)
    }

    private func quantile(_ counts: [UInt64], _ share: Double) -> UInt64 {
        let wanted = Double(samples) * share
        var seen: UInt64 = 0
        for (bucket, count) in counts.enumerated() where count > 0 {
            seen &+= count
            if Double(seen) >= wanted { return HookTimes.end(of: bucket) }
        }
        return 0
    }
}
