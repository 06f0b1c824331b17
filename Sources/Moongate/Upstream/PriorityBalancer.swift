/// Chooses among all endpoints of an upstream: first a priority, then an endpoint of it.
///
/// A priority is good for 140 % of the share of its endpoints that is usable, at most 100 %: with two of three usable it
/// still gets everything, with one of two 70 %, and what is left goes to the next one (Envoy's overprovisioning factor).
struct PriorityBalancer {
    private struct Level {
        var balancer: Balancer
        /// Where its members stand among all.
        let members: [Int]
    }

    private static let overprovisioning = 140
    /// Shares are counted in so many parts, of 100 each.
    private static let percent = 100

    /// Where there is one priority, as mostly: its members are all.
    private var only: Balancer
    /// Where there are several, the first one first.
    private var levels: [Level] = []

    /// - Parameter start: where round robin begins.
    init(_ kind: Balancer.Kind, _ members: [BalancerMember], start: UInt64) {
        let priorities = Set(members.map(\.priority)).sorted()
        only = Balancer(kind, priorities.count > 1 ? [] : members, start: start)
        guard priorities.count > 1 else { return }
        levels = priorities.map { priority in
            let own = members.indices.filter { members[$0].priority == priority }
            return Level(balancer: Balancer(kind, own.map { members[$0] }, start: start), members: own)
        }
    }

    /// The endpoint for the next request, `nil` when none is usable.
    ///
    /// - Parameters:
    ///   - hash: requests with the same one get the same endpoint, of the same priority while its share stays.
    ///   - except: one that was tried already and says nothing about the health of its priority; -1: none.
    @inline(__always) mutating func pick(
        random: UInt64, hash: UInt64? = nil, except: Int = -1, isUsable: (Int) -> Bool, load: (Int) -> Int
    ) -> Int? {
        if levels.isEmpty {
            return only.pick(random: random, hash: hash, isUsable: { $0 != except && isUsable($0) }, load: load)
        }
        return pickLevel(random: random, hash: hash, except: except, isUsable: isUsable, load: load)
    }

    private mutating func pickLevel(
        random: UInt64, hash: UInt64?, except: Int, isUsable: (Int) -> Bool, load: (Int) -> Int
    ) -> Int? {
        let first = level(hash ?? random, isUsable)
        for place in [first] + levels.indices.filter({ $0 != first }) {
            let members = levels[place].members
            let index = levels[place].balancer.pick(random: random, hash: hash) { index in
                members[index] != except && isUsable(members[index])
            } load: { index in
                load(members[index])
            }
            if let index { return members[index] }
        }
        return nil
    }

    /// The priority that `number` falls to.
    private func level(_ number: UInt64, _ isUsable: (Int) -> Bool) -> Int {
        let shares = levels.map { level in
            PriorityBalancer.share(usable: level.members.count(where: isUsable), of: level.members.count)
        }
        // Another use of the number than the choice within the priority, which would else follow from this one.
        return PriorityBalancer.choose(shares, StableHash.mix(number ^ 0x5bd1_e995))
    }

    /// What a priority is good for, in parts of `full`.
    static func share(usable: Int, of count: Int) -> Int {
        guard count > 0 else { return 0 }
        return min(full, usable * overprovisioning * percent / count)
    }

    /// Everything.
    static var full: Int { 100 * percent }

    /// Every priority takes its share of what those before have left; if nobody takes the rest, all get more.
    static func choose(_ shares: [Int], _ number: UInt64) -> Int {
        let total = min(full, shares.reduce(0, +))
        guard total > 0 else { return 0 }
        var point = Int(StableHash.bucket(number, of: UInt64(total)))
        for (index, share) in shares.enumerated() {
            if point < share { return index }
            point -= share
        }
        return shares.count - 1
    }
}
