/// Chooses among endpoints of one priority: a pure value over their identities, weights and loads.
struct Balancer {
    enum Kind: Equatable {
        /// Each in turn, as often as its weight says.
        case roundRobin
        /// The less busy, for its weight, of two that are drawn by weight.
        case leastRequest
        /// Drawn by weight.
        case random
        case ringHash(minimumSize: Int, maximumSize: Int)
        case maglev(tableSize: Int)
    }

    /// How a hash finds its endpoint.
    private enum HashTable {
        /// Every hash has an order of preference: slower the more endpoints there are, and without a table.
        case rendezvous
        case ring(HashRing)
        case maglev(MaglevTable)
    }

    let kind: Kind
    private let members: [BalancerMember]
    private let table: HashTable
    /// Indexes of endpoints, spread as smoothly as the weights allow; drawn from or walked through.
    private let schedule: [Int32]
    private var position: Int

    /// - Parameter start: where round robin begins; random, so that workers and replicas do not march in step.
    init(_ kind: Kind, _ members: [BalancerMember], start: UInt64) {
        self.kind = kind
        self.members = members
        schedule = Balancer.smooth(members.map(\.weight))
        position = schedule.isEmpty ? 0 : Int(start % UInt64(schedule.count))
        switch kind {
        case .roundRobin, .leastRequest, .random: table = .rendezvous
        case .ringHash(let minimumSize, let maximumSize):
            table = .ring(HashRing(members, minimumSize: minimumSize, maximumSize: maximumSize))
        case .maglev(let tableSize): table = .maglev(MaglevTable(members, size: tableSize))
        }
    }

    /// The endpoint for the next request, `nil` when none is usable.
    ///
    /// - Parameter hash: requests with the same one get the same endpoint as long as it is usable.
    @inline(__always) mutating func pick(
        random: UInt64, hash: UInt64? = nil, isUsable: (Int) -> Bool, load: (Int) -> Int
    ) -> Int? {
        guard !schedule.isEmpty else { return nil }
        if let hash { return owner(of: hash, isUsable) }
        switch kind {
        case .roundRobin:
            return next(isUsable)
        case .leastRequest:
            guard let one = draw(random, isUsable), let other = draw(StableHash.mix(random), isUsable) else {
                return nil
            }
            // Compared for the weight, or heavy endpoints would be no busier than light ones.
            return load(other) * members[one].weight < load(one) * members[other].weight ? other : one
        case .random, .ringHash, .maglev:
            return draw(random, isUsable)
        }
    }

    /// Hashes of an endpoint that is not usable spread over all others, and come back with it.
    private func owner(of hash: UInt64, _ isUsable: (Int) -> Bool) -> Int? {
        var owner: Int?
        switch table {
        case .rendezvous: break
        case .ring(let ring): owner = ring.owner(of: hash)
        case .maglev(let maglev): owner = maglev.owner(of: hash)
        }
        if let owner, isUsable(owner) { return owner }
        return RendezvousChoice.pick(hash, count: members.count) { index in
            members[index].identity
        } weight: { index in
            members[index].weight
        } isUsable: { index in
            isUsable(index)
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

    /// One by lot. Unusable ones are drawn again a few times, so that not only their neighbours get what was theirs.
    private func draw(_ random: UInt64, _ isUsable: (Int) -> Bool) -> Int? {
        var number = random
        for _ in 0..<8 {
            let index = Int(schedule[Int(StableHash.bucket(number, of: UInt64(schedule.count)))])
            if isUsable(index) { return index }
            number = StableHash.mix(number &+ 0x9e37_79b9_7f4a_7c15)
        }
        let start = Int(StableHash.bucket(number, of: UInt64(schedule.count)))
        for step in 0..<schedule.count {
            let index = Int(schedule[(start + step) % schedule.count])
            if isUsable(index) { return index }
        }
        return nil
    }

    /// What the schedule may cost: each of its places looks at every endpoint.
    private static let scheduleWork = 1 << 22

    /// Smooth weighted round robin written out: every endpoint as often as its weight, evenly spread. Weights of very many
    /// endpoints are rounded.
    private static func smooth(_ weights: [Int]) -> [Int32] {
        let divisor = weights.reduce(0, greatestCommonDivisor)
        guard divisor > 0 else { return [] }
        let exact = weights.map { $0 / divisor }
        let most = max(2 * exact.count, scheduleWork / exact.count)
        let sum = exact.reduce(0, +)
        let shares = sum <= most ? exact : exact.map { max(1, $0 * most / sum) }
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
}
