/// Picks one of several choices in proportion to their weights, in O(log n) and without state: immutable and
/// shared by all workers. A choice with weight 0 is never picked. Trivial: whoever makes it frees it.
struct WeightedChoice: BitwiseCopyable {
    /// For each choice the sum of the weights up to and including its own.
    private let sums: FlatArray<UInt64>
    private let total: UInt64
    /// The only choice with a weight above 0, if there is just one; -1 otherwise.
    private let only: Int

    /// - Parameter weights: below 0 counts as 0, above 2^32 as 2^32.
    init(weights: [Int]) {
        var sum: UInt64 = 0
        sums = FlatArray(
            copying: weights.map { weight in
                sum += UInt64(min(max(0, weight), 1 << 32))
                return sum
            })
        total = sum
        let positive = weights.indices.filter { weights[$0] > 0 }
        only = positive.count == 1 ? positive[0] : -1
    }

    func free() { sums.free() }

    /// The position of the choice that `random`, evenly distributed over all 64-bit values, stands for; `nil`
    /// if all weights are 0.
    func pick(_ random: UInt64) -> Int? {
        if only >= 0 { return only }
        guard total > 0 else { return nil }
        // The high half of the product is even over 0..<total, but for a bias below total / 2^64.
        let point = random.multipliedFullWidth(by: total).high
        var low = 0
        var high = sums.count - 1
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] > point { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
