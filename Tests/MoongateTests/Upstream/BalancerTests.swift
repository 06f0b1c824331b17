import Testing

@testable import Moongate

@Suite struct BalancerTests {
    private static func picks(_ balancer: inout Balancer, _ count: Int, usable: (Int) -> Bool = { _ in true }) -> [Int]
    {
        var random = SystemRandomNumberGenerator()
        return (0..<count).compactMap { _ in
            balancer.pick(random: random.next(), isUsable: usable, load: { _ in 0 })
        }
    }

    @Test func roundRobinGoesInTurn() {
        var balancer = Balancer(.roundRobin, weights: [1, 1, 1], start: 1)
        #expect(Self.picks(&balancer, 6) == [1, 2, 0, 1, 2, 0])
    }

    @Test func roundRobinFollowsWeightsSmoothly() {
        var balancer = Balancer(.roundRobin, weights: [50, 10, 10], start: 0)
        let picks = Self.picks(&balancer, 70)
        #expect(picks.count { $0 == 0 } == 50)
        #expect(picks.count { $0 == 1 } == 10)
        // Never the heavy one seven times in a row.
        #expect(!picks.split(separator: 1).contains { $0.split(separator: 2).contains { $0.count > 5 } })
    }

    @Test func unusableEndpointsAreSkipped() {
        var balancer = Balancer(.roundRobin, weights: [1, 1, 1], start: 0)
        #expect(Self.picks(&balancer, 4) { $0 != 1 } == [0, 2, 0, 2])
    }

    @Test(arguments: [Balancer.Kind.roundRobin, .leastRequest])
    func noUsableEndpointIsNone(kind: Balancer.Kind) {
        var balancer = Balancer(kind, weights: [1, 1], start: 0)
        #expect(Self.picks(&balancer, 3) { _ in false }.isEmpty)
        var empty = Balancer(kind, weights: [], start: 0)
        #expect(Self.picks(&empty, 3).isEmpty)
    }

    @Test func leastRequestAvoidsTheBusyOne() {
        var balancer = Balancer(.leastRequest, weights: [1, 1], start: 0)
        var random = SystemRandomNumberGenerator()
        var busy = 0
        for _ in 0..<1000 {
            let pick = balancer.pick(random: random.next(), isUsable: { _ in true }, load: { $0 == 0 ? 10 : 1 })
            if pick == 0 { busy += 1 }
        }
        // Only when both draws hit it: a quarter.
        #expect(busy > 150 && busy < 350)
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
