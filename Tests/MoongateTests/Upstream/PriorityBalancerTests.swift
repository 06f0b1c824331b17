import Testing

@testable import Moongate

@Suite struct PriorityBalancerTests {
    /// Three endpoints of priority 0 (indexes 0 to 2), two of priority 1, one of priority 5.
    private static let endpoints =
        members([1, 1, 1]) + members([1, 1, 1, 1, 1], priority: 1).suffix(2)
        + members([1, 1, 1, 1, 1, 1], priority: 5).suffix(1)

    private func shares(without lost: Set<Int>, count: Int = 4000) -> [Int] {
        var balancer = PriorityBalancer(.roundRobin, Self.endpoints, start: 0)
        var random = SystemRandomNumberGenerator()
        var shares = [0, 0, 0]
        for _ in 0..<count {
            let pick = balancer.pick(random: random.next(), isUsable: { !lost.contains($0) }, load: { _ in 0 })
            guard let pick else { continue }
            #expect(!lost.contains(pick))
            shares[pick < 3 ? 0 : pick < 5 ? 1 : 2] += 1
        }
        return shares
    }

    @Test func theFirstPriorityGetsEverythingWhileEnoughOfItIsUsable() {
        #expect(shares(without: []) == [4000, 0, 0])
        // Two of three are good for 93 %.
        let two = shares(without: [1])
        #expect((3600...3850).contains(two[0]) && two[1] == 4000 - two[0], "\(two)")
    }

    @Test func theNextOneGetsWhatIsLeft() {
        // One of three is good for 46 %.
        let one = shares(without: [1, 2])
        #expect((1700...2050).contains(one[0]) && one[2] == 0, "\(one)")
        #expect(shares(without: [0, 1, 2]) == [0, 4000, 0])
        // One of two is good for 70 %, the rest goes to the last.
        let half = shares(without: [0, 1, 2, 3])
        #expect((2600...3000).contains(half[1]) && half[2] == 4000 - half[1], "\(half)")
        #expect(shares(without: [0, 1, 2, 3, 4]) == [0, 0, 4000])
        #expect(shares(without: [0, 1, 2, 3, 4, 5]) == [0, 0, 0])
    }

    @Test func sharesThatAreNotEnoughGrow() {
        // 46 % and 46 % become halves.
        let shares = [PriorityBalancer.share(usable: 1, of: 3), PriorityBalancer.share(usable: 1, of: 3)]
        let first = keyHashes(4000).count { PriorityBalancer.choose(shares, $0) == 0 }
        #expect((1850...2150).contains(first))
        #expect(PriorityBalancer.choose([0, 0], 9) == 0)
        #expect(PriorityBalancer.share(usable: 3, of: 3) == PriorityBalancer.full)
        #expect(PriorityBalancer.share(usable: 0, of: 0) == 0)
    }

    @Test func hashesStayWithTheirPriorityAndTheirEndpoint() {
        var balancer = PriorityBalancer(.maglev(tableSize: 1009), Self.endpoints, start: 0)
        for hash in keyHashes(500) {
            let picks = (0..<3).map { number in
                balancer.pick(random: UInt64(number), hash: hash, isUsable: { $0 > 1 }, load: { _ in 0 })
            }
            #expect(picks[0] != nil && Set(picks).count == 1)
        }
    }

    @Test func anEndpointThatWasTriedSaysNothingAboutItsPriority() {
        var balancer = PriorityBalancer(.roundRobin, Self.endpoints, start: 0)
        var random = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let pick = balancer.pick(random: random.next(), except: 0, isUsable: { _ in true }, load: { _ in 0 })
            #expect(pick == 1 || pick == 2)
        }
        // All of the first priority that is usable was tried: the next one is better than none.
        let pick = balancer.pick(random: 0, except: 0, isUsable: { $0 == 0 || $0 == 5 }, load: { _ in 0 })
        #expect(pick == 5)
    }
}
