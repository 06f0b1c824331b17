import Testing

@testable import Moongate

@Suite struct HashRingTests {
    private func ring(_ members: [BalancerMember], minimum: Int = 1024, maximum: Int = 65536) -> HashRing {
        HashRing(members, minimumSize: minimum, maximumSize: maximum)
    }

    @Test func sizeLiesBetweenTheBounds() {
        #expect(ring(members([1, 1, 1])).size == 1536)
        #expect(ring(members([1, 1, 1]), minimum: 1, maximum: 65536).size == 3)
        #expect(ring(members([1, 1, 1]), minimum: 4096, maximum: 4100).size == 3072)
        #expect(ring(members([Int](repeating: 1, count: 50)), minimum: 1, maximum: 10).size == 10)
        #expect(ring(members([1000, 1]), minimum: 1, maximum: 100).size == 100)
    }

    @Test func withoutMembersThereIsNoOwner() {
        #expect(ring([]).owner(of: 7) == nil)
        #expect(ring(members([1])).owner(of: 0) == 0)
        #expect(ring(members([1])).owner(of: UInt64.max) == 0)
    }

    @Test func sharesFollowTheWeights() {
        let ring = ring(members([1, 1, 2]), minimum: 16384)
        var counts = [0, 0, 0]
        for hash in keyHashes(20000) { counts[ring.owner(of: hash) ?? 0] += 1 }
        #expect((4400...5600).contains(counts[0]) && (9300...10700).contains(counts[2]), "\(counts)")
    }

    @Test func aNewMemberTakesOnlyWhatBecomesItsOwn() {
        // 20 and 21 endpoints have as many points each.
        let before = ring(members([Int](repeating: 1, count: 20)))
        let after = ring(members([Int](repeating: 1, count: 21)))
        var moved = 0
        for hash in keyHashes(5000) where before.owner(of: hash) != after.owner(of: hash) {
            #expect(after.owner(of: hash) == 20)
            moved += 1
        }
        #expect((100...450).contains(moved), "\(moved)")
    }

    @Test func theOrderOfMembersDoesNotMatter() {
        let some = members([1, 3, 2, 1])
        let one = ring(some)
        let other = ring(some.reversed())
        for hash in keyHashes(500) { #expect(one.owner(of: hash) == other.owner(of: hash).map { 3 - $0 }) }
    }

    /// Replicas of other versions must agree: these numbers never change.
    @Test func ownersAreTheSameInEveryProcess() {
        let ring = ring(members([1, 1, 1, 1, 1]))
        #expect(keyHashes(12).map { ring.owner(of: $0) ?? -1 } == HashRingTests.known)
    }

    private static let known = [1, 3, 1, 0, 1, 0, 0, 2, 4, 3, 3, 3]
}

@Suite struct MaglevTableTests {
    private func counts(_ table: MaglevTable, _ size: Int, _ members: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: members)
        for place in 0..<size { counts[table.owner(of: UInt64(place)) ?? 0] += 1 }
        return counts
    }

    @Test func sharesAreAlmostExactlyThoseOfTheWeights() {
        let even = counts(MaglevTable(members([1, 1, 1]), size: 65537), 65537, 3)
        for count in even { #expect(abs(count - 21845) <= 1, "\(even)") }
        let uneven = counts(MaglevTable(members([1, 3]), size: 65537), 65537, 2)
        #expect(abs(uneven[0] - 16384) <= 1, "\(uneven)")
    }

    @Test func fewHashesOfOthersMoveWhenAMemberGoes() {
        let all = members([1, 1, 1, 1, 1])
        let before = MaglevTable(all, size: 65537)
        let after = MaglevTable(Array(all.dropLast()), size: 65537)
        let kept = keyHashes(5000).filter { before.owner(of: $0) != 4 }
        let moved = kept.count { before.owner(of: $0) != after.owner(of: $0) }
        // The paper's figure 12: some per cent, more the smaller the table.
        #expect(moved < kept.count / 10, "\(moved) of \(kept.count)")
    }

    @Test func smallAndEmptyTablesWork() {
        #expect(MaglevTable([], size: 7).owner(of: 3) == nil)
        #expect(MaglevTable(members([5]), size: 2).owner(of: 3) == 0)
        let crowded = MaglevTable(members([Int](repeating: 1, count: 50)), size: 7)
        #expect(Set((0..<7).map { crowded.owner(of: $0) }).count == 7)
    }

    @Test func theOrderOfMembersDoesNotMatter() {
        let some = members([1, 3, 2, 1])
        let one = MaglevTable(some, size: 1009)
        let other = MaglevTable(some.reversed(), size: 1009)
        for place in 0..<1009 as Range<UInt64> {
            #expect(one.owner(of: place) == other.owner(of: place).map { 3 - $0 })
        }
    }

    /// Replicas of other versions must agree: these numbers never change.
    @Test func ownersAreTheSameInEveryProcess() {
        let table = MaglevTable(members([1, 1, 1, 1, 1]), size: 1009)
        #expect(keyHashes(12).map { table.owner(of: $0) ?? -1 } == MaglevTableTests.known)
    }

    private static let known = [4, 3, 4, 1, 0, 2, 0, 1, 4, 3, 2, 3]
}
