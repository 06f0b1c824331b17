import Testing

@testable import Moongate

@Suite struct FairQueueTests {
    private func drain(_ queue: inout FairQueue<String, Int>) -> [Int] {
        var elements: [Int] = []
        while let element = queue.next() { elements.append(element) }
        return elements
    }

    @Test func partiesTakeTurnsAndEachKeepsItsOrder() {
        var queue = FairQueue<String, Int>(limit: 10)
        for element in 1...4 { _ = queue.append(element, of: "a") }
        for element in 11...12 { _ = queue.append(element, of: "b") }
        _ = queue.append(21, of: "c")
        #expect(queue.count == 7)
        #expect(drain(&queue) == [1, 11, 21, 2, 12, 3, 4])
        #expect(queue.count == 0)
    }

    @Test func aFullQueueDisplacesTheNewestOfTheLargestParty() {
        var queue = FairQueue<String, Int>(limit: 4)
        for element in 1...4 { _ = queue.append(element, of: "a") }
        guard case .refused = queue.append(5, of: "a") else { return #expect(Bool(false), "the largest party") }
        guard case .displaced(4) = queue.append(11, of: "b") else { return #expect(Bool(false), "b has none") }
        guard case .displaced(3) = queue.append(21, of: "c") else { return #expect(Bool(false), "c has none") }
        // `a` has two, `b` would have two as well: nobody has more than its share.
        guard case .refused = queue.append(12, of: "b") else { return #expect(Bool(false), "b has its share") }
        #expect(drain(&queue) == [1, 11, 21, 2])
    }

    @Test func takingBackLeavesTheTurnsOfOthers() {
        var queue = FairQueue<String, Int>(limit: 4)
        _ = queue.append(1, of: "a")
        _ = queue.append(11, of: "b")
        #expect(queue.takeNewest(of: "a") == 1)
        #expect(queue.takeNewest(of: "a") == nil)
        #expect(drain(&queue) == [11])
    }

    @Test func aClientIsAnAddressOrANetworkOf64Bits() throws {
        func share(_ text: String) throws -> ClientShare { ClientShare(try #require(SocketAddress(text))) }
        #expect(try share("192.0.2.1:1") == share("192.0.2.1:2"))
        #expect(try share("192.0.2.1:1") != share("192.0.2.2:1"))
        #expect(try share("[2001:db8::1]:1") == share("[2001:db8::ffff:1]:1"))
        #expect(try share("[2001:db8::1]:1") != share("[2001:db8:0:1::1]:1"))
        #expect(try share("0.0.0.0:1") != .process)
    }
}
