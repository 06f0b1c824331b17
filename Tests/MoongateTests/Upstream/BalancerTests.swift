import Testing

@testable import Moongate

/// Endpoints with these weights, of addresses that differ.
func members(_ weights: [Int], priority: Int = 0) -> [BalancerMember] {
    weights.enumerated().map { index, weight in
        BalancerMember(
            identity: "10.0.0.\(index):80".withBytes { StableHash.hash($0) }, weight: weight, priority: priority)
    }
}

extension Balancer.Kind {
    static var each: [Balancer.Kind] {
        [
            .roundRobin, .leastRequest, .random, .ringHash(minimumSize: 1024, maximumSize: 65536),
            .maglev(tableSize: 65537),
        ]
    }
}

/// Hashes of keys as users have them.
func keyHashes(_ count: Int) -> [UInt64] {
    (0..<count).map { index in "user-\(index)".withBytes { StableHash.hash($0) } }
}

@Suite struct BalancerTests {
    private static func picks(_ balancer: inout Balancer, _ count: Int, usable: (Int) -> Bool = { _ in true }) -> [Int]
    {
        var random = SystemRandomNumberGenerator()
        return (0..<count).compactMap { _ in
            balancer.pick(random: random.next(), isUsable: usable, load: { _ in 0 })
        }
    }

    @Test func roundRobinGoesInTurn() {
        var balancer = Balancer(.roundRobin, members([1, 1, 1]), start: 1)
        #expect(Self.picks(&balancer, 6) == [1, 2, 0, 1, 2, 0])
    }

    @Test func roundRobinFollowsWeightsSmoothly() {
        var balancer = Balancer(.roundRobin, members([50, 10, 10]), start: 0)
        let picks = Self.picks(&balancer, 70)
        #expect(picks.count { $0 == 0 } == 50)
        #expect(picks.count { $0 == 1 } == 10)
        // Never the heavy one seven times in a row.
        #expect(!picks.split(separator: 1).contains { $0.split(separator: 2).contains { $0.count > 5 } })
    }

    /// Each place of the schedule costs a look at every endpoint, and DNS may name very many.
    @Test func weightsOfVeryManyEndpointsAreRounded() {
        let weights = (0..<1024).map { 999 + $0 % 2 }
        var balancer = Balancer(.roundRobin, members(weights), start: 0)
        #expect(Set(Self.picks(&balancer, 4096)).count == 1024)
        var light = Balancer(.roundRobin, members([1] + [Int](repeating: 1000, count: 999)), start: 0)
        let picks = Self.picks(&light, 10_000)
        #expect(picks.contains(0) && picks.count { $0 == 0 } < picks.count { $0 == 1 })
    }

    @Test func unusableEndpointsAreSkipped() {
        var balancer = Balancer(.roundRobin, members([1, 1, 1]), start: 0)
        #expect(Self.picks(&balancer, 4) { $0 != 1 } == [0, 2, 0, 2])
    }

    @Test(arguments: Balancer.Kind.each)
    func noUsableEndpointIsNone(kind: Balancer.Kind) {
        var balancer = Balancer(kind, members([1, 1]), start: 0)
        #expect(Self.picks(&balancer, 3) { _ in false }.isEmpty)
        var empty = Balancer(kind, members([]), start: 0)
        #expect(Self.picks(&empty, 3).isEmpty)
    }

    @Test func leastRequestAvoidsTheBusyOne() {
        var balancer = Balancer(.leastRequest, members([1, 1]), start: 0)
        var random = SystemRandomNumberGenerator()
        var busy = 0
        for _ in 0..<1000 {
            let pick = balancer.pick(random: random.next(), isUsable: { _ in true }, load: { $0 == 0 ? 10 : 1 })
            if pick == 0 { busy += 1 }
        }
        // Only when both draws hit it: a quarter.
        #expect(busy > 150 && busy < 350)
    }

    @Test func leastRequestComparesLoadsForTheWeights() {
        var balancer = Balancer(.leastRequest, members([3, 1]), start: 0)
        // 6 requests on three times the weight are as much as 2: the draw by weight decides.
        let even = picks(of: &balancer) { $0 == 0 ? 6 : 2 }
        #expect((650...850).contains(even), "\(even)")
        // 5 are less: only two draws of the light one get there.
        let less = picks(of: &balancer) { $0 == 0 ? 5 : 2 }
        #expect((900...970).contains(less), "\(less)")
    }

    /// How many of 1000 requests the first endpoint gets.
    private func picks(of balancer: inout Balancer, load: (Int) -> Int) -> Int {
        var random = SystemRandomNumberGenerator()
        return (0..<1000).count { _ in
            balancer.pick(random: random.next(), isUsable: { _ in true }, load: load) == 0
        }
    }

    @Test(arguments: Balancer.Kind.each)
    func requestsWithoutAHashFollowTheWeights(kind: Balancer.Kind) {
        var balancer = Balancer(kind, members([1, 1, 2]), start: 0)
        let picks = Self.picks(&balancer, 4000)
        #expect((1800...2200).contains(picks.count { $0 == 2 }))
        #expect((850...1150).contains(picks.count { $0 == 0 }))
    }

    @Test(arguments: Balancer.Kind.each)
    func loadOfAnUnusableEndpointSpreadsOverAllOthers(kind: Balancer.Kind) {
        var balancer = Balancer(kind, members([1, 1, 1, 1]), start: 0)
        let picks = Self.picks(&balancer, 3000) { $0 != 1 }
        for index in [0, 2, 3] { #expect((850...1150).contains(picks.count { $0 == index }), "\(kind)") }
    }

    @Test(arguments: Balancer.Kind.each)
    func hashKeepsItsEndpointWhateverTheRandomNumberSays(kind: Balancer.Kind) {
        var balancer = Balancer(kind, members([1, 2, 1]), start: 0)
        var random = SystemRandomNumberGenerator()
        for hash in keyHashes(200) {
            let first = balancer.pick(random: random.next(), hash: hash, isUsable: { _ in true }, load: { _ in 0 })
            let again = balancer.pick(random: random.next(), hash: hash, isUsable: { _ in true }, load: { _ in 9 })
            #expect(first != nil && first == again)
        }
    }

    @Test(arguments: Balancer.Kind.each)
    func hashesOfAnUnusableEndpointSpreadAndTheOthersStay(kind: Balancer.Kind) {
        var balancer = Balancer(kind, members([1, 1, 1, 1]), start: 0)
        var moved = [Int](repeating: 0, count: 4)
        for hash in keyHashes(4000) {
            let before = balancer.pick(random: 0, hash: hash, isUsable: { _ in true }, load: { _ in 0 })
            let after = balancer.pick(random: 0, hash: hash, isUsable: { $0 != 1 }, load: { _ in 0 })
            if before == 1 { moved[after ?? 1] += 1 } else { #expect(after == before) }
        }
        #expect(moved[1] == 0)
        for index in [0, 2, 3] { #expect(moved[index] > 200, "\(moved)") }
    }
}

@Suite struct BackoffTests {
    @Test func C8PausesGrowToTheLimitAndStartAgainAfterSuccess() {
        var backoff = Backoff()
        let pauses = (0..<20).map { _ in backoff.next(random: 0) }
        #expect(pauses[0] == 80_000_000)
        #expect(pauses[1] == 128_000_000)
        #expect(pauses.last == 8_000_000_000)
        backoff.reset()
        #expect(backoff.next(random: UInt64.max) <= 120_000_000)
    }
}
