import Testing

@testable import Moongate

struct CIDRSetTests {
    private func contains(_ set: CIDRSet, _ host: String) throws -> Bool {
        set.contains(try #require(SocketAddress(host: host, port: 1)))
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "9.255.255.255", false),
        ("192.168.1.7", "192.168.1.7", true), ("192.168.1.7", "192.168.1.8", false), ("0.0.0.0/0", "255.1.2.3", true),
        ("0.0.0.0/0", "::1", false), ("::/0", "1.2.3.4", false), ("::/0", "ff02::1", true),
        ("2001:db8::/33", "2001:db8:7fff::1", true), ("2001:db8::/33", "2001:db8:8000::", false),
        ("::1", "::1", true), ("fe80::/10", "fe80::1%1", true), ("1.2.3.4/31", "1.2.3.5", true),
        ("::ffff:10.0.0.0/104", "10.9.9.9", true), ("::ffff:10.0.0.0/104", "11.0.0.0", false),
        ("::ffff:10.1.2.3", "10.1.2.3", true), ("10.1.2.3", "::ffff:10.1.2.3", true),
    ])
    func blockHoldsItsAddressesOnly(block: String, host: String, expected: Bool) throws {
        #expect(try contains(CIDRSet(parsing: [block]), host) == expected)
    }

    @Test(arguments: [
        "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8", "::/129", "10.0.0/8",
        "name/8",
        "::ffff:10.0.0.0/8", "fe80::1%1/64", "10.0.0.0/8 ",
    ])
    func whatIsNoBlockIsRefused(text: String) {
        #expect(throws: CIDRFault.self) { try CIDR(text) }
    }

    @Test func bitsOutsideThePrefixAreNamedWithTheRemedy() {
        let fault = #expect(throws: CIDRFault.self) { try CIDR("172.17.5.0/16") }
        #expect(fault?.hint == "write 172.17.0.0/16 for the block, or 172.17.5.0 for the one address")
        let v6 = #expect(throws: CIDRFault.self) { try CIDR("2001:db8::1/32") }
        #expect(v6?.hint == "write 2001:db8::/32 for the block, or 2001:db8::1 for the one address")
    }

    @Test func exceptionsAreCutOut() throws {
        // The NetworkPolicy documentation's example.
        let block = try CIDRSet(parsing: ["172.17.0.0/16"])
        let set = block.subtracting(try CIDRSet(parsing: ["172.17.1.0/24"]))
        #expect(try contains(set, "172.17.0.255"))
        #expect(try !contains(set, "172.17.1.0"))
        #expect(try !contains(set, "172.17.1.255"))
        #expect(try contains(set, "172.17.2.0"))
        #expect(try contains(set, "172.17.255.255"))
        #expect(block.subtracting(block).isEmpty)
        #expect(block.subtracting(CIDRSet()) == block)
    }

    @Test func emptySetHoldsNothing() throws {
        #expect(CIDRSet().isEmpty)
        #expect(try !contains(CIDRSet(), "0.0.0.0"))
    }

    @Test func touchingBlocksBecomeOne() throws {
        #expect(try CIDRSet(parsing: ["10.0.1.0/24", "10.0.0.0/24"]) == CIDRSet(parsing: ["10.0.0.0/23"]))
        #expect(try CIDRSet(parsing: ["::/1", "8000::/1", "ffff::"]) == CIDRSet(parsing: ["::/0"]))
    }

    /// Every operation against the plain definition, over all addresses of a small corner.
    @Test func setsAgreeWithTheirDefinition() throws {
        var generator = SplitMix(state: 7)
        for _ in 0..<200 {
            let left = try (0..<5).map { _ in try block(&generator) }
            let right = try (0..<5).map { _ in try block(&generator) }
            let leftSet = CIDRSet(left)
            let rightSet = CIDRSet(right)
            for low in 0..<64 as Range<UInt8> {
                let address = try #require(SocketAddress(host: "10.0.0.\(low)", port: 0))
                let inLeft = left.contains { $0.first <= address.number && address.number <= $0.last }
                let inRight = right.contains { $0.first <= address.number && address.number <= $0.last }
                #expect(leftSet.contains(address) == inLeft)
                #expect(leftSet.union(rightSet).contains(address) == (inLeft || inRight))
                #expect(leftSet.subtracting(rightSet).contains(address) == (inLeft && !inRight))
            }
        }
    }

    private func block(_ generator: inout SplitMix) throws -> CIDR {
        let length = Int.random(in: 27...32, using: &generator)
        let low = Int.random(in: 0..<64, using: &generator) & ~((1 << (32 - length)) - 1)
        return try CIDR("10.0.0.\(low)/\(length)")
    }
}

/// A small generator with a seed, so that a failure comes again.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }
}
