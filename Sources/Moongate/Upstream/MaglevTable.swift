/// Maglev's look-up table (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, §3.4):
/// the endpoints take places in turn, each in an order of its own, until the table is full. Shares are almost exactly those
/// of the weights; a change of members moves few hashes of the others.
struct MaglevTable {
    /// The member at each place.
    private let owners: [Int32]

    /// - Parameter size: a prime number, so that every step visits every place.
    init(_ members: [BalancerMember], size: Int) {
        guard size > 1, let heaviest = members.map(\.weight).max(), heaviest > 0 else {
            owners = members.isEmpty ? [] : [0]
            return
        }
        // Turns go by identity, so that the order of a DNS answer does not matter.
        let order = members.indices.sorted { members[$0].identity < members[$1].identity }
        var turns = order.map { Turn(members[$0], index: Int32($0), size: size) }
        var table = [Int32](repeating: -1, count: size)
        var free = size
        while free > 0 {
            for turn in turns.indices where free > 0 && turns[turn].isDue(heaviest) {
                turns[turn].take(in: &table)
                free -= 1
            }
        }
        owners = table
    }

    /// The member that `hash` belongs to; `nil` without members.
    func owner(of hash: UInt64) -> Int? {
        guard !owners.isEmpty else { return nil }
        return Int(owners[Int(hash % UInt64(owners.count))])
    }

    /// One member while the table fills.
    private struct Turn {
        let index: Int32
        let weight: Int
        /// The place that it wants next, and how far it goes from one to the next.
        var place: Int
        let step: Int
        /// The heaviest takes a place in every round, the others when their weights have added up to as much.
        var credit = 0

        init(_ member: BalancerMember, index: Int32, size: Int) {
            self.index = index
            weight = member.weight
            place = Int(StableHash.mix(member.identity) % UInt64(size))
            step = Int(StableHash.mix(~member.identity) % UInt64(size - 1)) + 1
        }

        mutating func isDue(_ heaviest: Int) -> Bool {
            credit += weight
            guard credit >= heaviest else { return false }
            credit -= heaviest
            return true
        }

        /// The table has a free place.
        mutating func take(in table: inout [Int32]) {
            while table[place] >= 0 { advance(table.count) }
            table[place] = index
            advance(table.count)
        }

        private mutating func advance(_ size: Int) { place = (place + step) % size }
    }
}
