import Testing

@testable import Moongate

struct TicketKeysTests {
    private let start = ContinuousClock.Instant.now

    private func open(_ keys: TicketKeys, _ key: TicketKeys.Key, after seconds: Int) -> Bool? {
        key.name.withUnsafeBytes { keys.openingKey(named: $0, at: start + .seconds(seconds))?.renew }
    }

    @Test func keySealsForOneLifetimeAndOpensForTwo() {
        let keys = TicketKeys(lifetime: .seconds(100))
        let first = keys.sealingKey(at: start)
        #expect(keys.sealingKey(at: start + .seconds(90)) == first)
        #expect(open(keys, first, after: 90) == false)
        let second = keys.sealingKey(at: start + .seconds(110))
        #expect(second != first)
        #expect(open(keys, first, after: 120) == true)
        #expect(open(keys, second, after: 120) == false)
        #expect(open(keys, first, after: 250) == nil)
    }

    @Test func keyThatWasIdleForTwoLifetimesIsForgotten() {
        let keys = TicketKeys(lifetime: .seconds(100))
        let first = keys.sealingKey(at: start)
        #expect(open(keys, first, after: 300) == nil)
    }

    @Test func unknownNameOpensNothing() {
        let keys = TicketKeys()
        #expect([UInt8](repeating: 0, count: 16).withUnsafeBytes { keys.openingKey(named: $0) } == nil)
    }
}
