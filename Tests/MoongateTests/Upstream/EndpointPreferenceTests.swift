import Testing

@testable import Moongate

@Suite struct EndpointWishTests {
    @Test func addressWithoutPortNamesEveryPort() throws {
        let endpoint = try #require(SocketAddress("10.0.0.1:80"))
        var wish = EndpointPreference(address: SocketAddress(host: "10.0.0.1", port: 0))
        #expect(wish.names(endpoint))
        wish.address = SocketAddress("10.0.0.1:81")
        #expect(!wish.names(endpoint))
        wish.address = SocketAddress(host: "10.0.0.2", port: 0)
        #expect(!wish.names(endpoint))
        wish.address = nil
        #expect(!wish.names(endpoint))
    }

    private func pick(_ hash: UInt64, _ identities: [UInt64], weights: [Int]? = nil, without: Set<Int> = []) -> Int? {
        RendezvousChoice.pick(hash, count: identities.count) { index in
            identities[index]
        } weight: { index in
            weights?[index] ?? 1
        } isUsable: { index in
            !without.contains(index)
        }
    }

    private let identities = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map { text in
        text.withBytes { StableHash.hash($0) }
    }
    private let hashes = (0..<3000).map { index in "user-\(index)".withBytes { StableHash.hash($0) } }

    @Test func valuesSpreadByWeight() {
        var counts = [0, 0, 0]
        for hash in hashes { counts[pick(hash, identities, weights: [1, 1, 4]) ?? 0] += 1 }
        #expect((400...600).contains(counts[0]) && (400...600).contains(counts[1]), "\(counts)")
    }

    @Test func onlyTheValuesOfALostEndpointMove() {
        for hash in hashes {
            let before = pick(hash, identities)
            let after = pick(hash, identities, without: [1])
            #expect(after != 1)
            if before != 1 { #expect(after == before) }
            // The order of endpoints, which DNS may change, does not matter.
            #expect(pick(hash, identities.reversed()).map { 2 - $0 } == before)
        }
    }

    @Test func withoutUsableEndpointThereIsNone() {
        #expect(pick(1, identities, without: [0, 1, 2]) == nil)
        #expect(pick(1, []) == nil)
    }
}
