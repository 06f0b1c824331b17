/// Chooses among endpoints: a pure value over their weights and loads.
struct Balancer {
    enum Kind: Equatable {
        /// Each in turn, as often as its weight says.
        case roundRobin
        /// The less busy of two that are drawn by weight.
        case leastRequest
    }

    let kind: Kind
    /// Indexes of endpoints, spread as smoothly as the weights allow; drawn from or walked through.
    private let schedule: [Int32]
    private var position: Int

    /// - Parameters:
    ///   - weights: one per endpoint, 1 to 1000.
    ///   - start: where round robin begins; random, so that workers and replicas do not march in step.
    init(_ kind: Kind, weights: [Int], start: UInt64) {
        self.kind = kind
        schedule = Balancer.smooth(weights)
        position = schedule.isEmpty ? 0 : Int(start % UInt64(schedule.count))
    }

    /// The endpoint for the next request, `nil` when none is usable.
    mutating func pick(
        random: UInt64, isUsable: (Int) -> Bool, load: (Int) -> Int
    ) -> Int? {
        guard !schedule.isEmpty else { return nil }
        switch kind {
        case .roundRobin:
            return next(isUsable)
        case .leastRequest:
            let one = usable(from: Int(random & 0xffff_ffff) % schedule.count, isUsable)
            let other = usable(from: Int(random >> 32) % schedule.count, isUsable)
            guard let one, let other else { return nil }
            return load(other) < load(one) ? other : one
        }
    }

    private mutating func next(_ isUsable: (Int) -> Bool) -> Int? {
        for _ in 0..<schedule.count {
            let index = Int(schedule[position])
            position = position + 1 == schedule.count ? 0 : position + 1
            if isUsable(index) { return index }
        }
        return nil
    }

    private func usable(from start: Int, _ isUsable: (Int) -> Bool) -> Int? {
        for step in 0..<schedule.count {
            let index = Int(schedule[(start + step) % schedule.count])
            if isUsable(index) { return index }
        }
        return nil
    }

    /// Smooth weighted round robin written out: every endpoint as often as its weight, evenly spread.
    private static func smooth(_ weights: [Int]) -> [Int32] {
        let divisor = weights.reduce(0, greatestCommonDivisor)
        guard divisor > 0 else { return [] }
        let shares = weights.map { $0 / divisor }
        let total = shares.reduce(0, +)
        if total == shares.count { return weights.indices.map { Int32($0) } }
        var current = [Int](repeating: 0, count: shares.count)
        return (0..<total).map { _ in
            var best = 0
            for index in shares.indices {
                current[index] += shares[index]
                if current[index] > current[best] { best = index }
            }
            current[best] -= total
            return Int32(best)
        }
    }

    private static func greatestCommonDivisor(_ one: Int, _ other: Int) -> Int {
        other == 0 ? one : greatestCommonDivisor(other, one % other)
    }
}
