/// Consistent hashing on a ring, as Ketama does it: every endpoint stands at many points of the circle of 64-bit numbers, and
/// a hash belongs to the first point at or behind it. When an endpoint comes or goes, only the hashes next to its own points
/// move.
struct HashRing {
    /// Most points of one endpoint for each unit of weight.
    private static let densest = 1 << 20

    /// In rising order, and whose each is.
    private let points: [UInt64]
    private let owners: [Int32]

    /// - Parameters:
    ///   - minimumSize: points that all together have at least, if the maximum allows.
    ///   - maximumSize: at least 1.
    init(_ members: [BalancerMember], minimumSize: Int, maximumSize: Int) {
        let counts = HashRing.counts(members.map(\.weight), minimumSize: minimumSize, maximumSize: maximumSize)
        var ring: [(point: UInt64, owner: Int32)] = []
        ring.reserveCapacity(counts.reduce(0, +))
        for (index, member) in members.enumerated() {
            let start = StableHash.mix(member.identity)
            for number in 0..<counts[index] {
                // The sequence of SplitMix64 from a start of the endpoint's own.
                ring.append((StableHash.mix(start &+ UInt64(number) &* 0x9e37_79b9_7f4a_7c15), Int32(index)))
            }
        }
        // Points that coincide are in the order of identities, which is the same everywhere.
        ring.sort { one, other in
            if one.point != other.point { return one.point < other.point }
            return members[Int(one.owner)].identity < members[Int(other.owner)].identity
        }
        points = ring.map(\.point)
        owners = ring.map(\.owner)
    }

    var size: Int { points.count }

    /// The member that `hash` belongs to; `nil` without members.
    func owner(of hash: UInt64) -> Int? {
        guard let first = owners.first else { return nil }
        var low = 0
        var high = points.count
        while low < high {
            let middle = (low + high) / 2
            if points[middle] < hash { low = middle + 1 } else { high = middle }
        }
        return Int(low < owners.count ? owners[low] : first)
    }

    /// Points of each member, by its weight. The number for one unit of weight is a power of two, so that it mostly stays
    /// when members come and go: a member whose number changes gives hashes to members that have not changed.
    private static func counts(_ weights: [Int], minimumSize: Int, maximumSize: Int) -> [Int] {
        let divisor = weights.reduce(0, greatestCommonDivisor)
        guard divisor > 0 else { return weights.map { _ in 0 } }
        let units = weights.map { $0 / divisor }
        let total = units.reduce(0, +)
        var density = 1
        while density < densest && density * total < minimumSize { density *= 2 }
        while density > 1 && density * total > maximumSize { density /= 2 }
        guard density * total > maximumSize else { return units.map { $0 * density } }
        // Fewer points than units: everyone gets the share that is due to it by then.
        var given = 0
        var seen = 0
        return units.map { unit in
            seen += unit
            let due = seen * maximumSize / total
            defer { given = due }
            return due - given
        }
    }
}

/// 0 only for two zeros.
func greatestCommonDivisor(_ one: Int, _ other: Int) -> Int {
    other == 0 ? one : greatestCommonDivisor(other, one % other)
}
