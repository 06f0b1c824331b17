import Testing

@testable import Moongate

@Suite struct OverrunBookTests {
    private let second = OverrunHistory.second

    private func client(_ text: String) throws -> ClientShare {
        ClientShare(try #require(SocketAddress(host: text, port: 1234)))
    }

    @Test func thirdWithinTenSecondsBars() throws {
        var book = OverrunHistory()
        let guilty = try client("192.0.2.1")
        #expect(book.overran(0, for: guilty, at: 100 * second) == .init())
        #expect(book.overran(0, for: guilty, at: 105 * second) == .init())
        #expect(!book.isBarred(guilty, from: 0, at: 105 * second))
        #expect(book.overran(0, for: guilty, at: 109 * second) == .init(bar: second, isNew: true))
        #expect(book.isBarred(guilty, from: 0, at: 109 * second))
        #expect(!book.isBarred(guilty, from: 1, at: 109 * second), "another policy")
        let other = try client("192.0.2.2")
        #expect(!book.isBarred(other, from: 0, at: 109 * second), "another client")
        #expect(!book.isBarred(guilty, from: 0, at: 110 * second))
    }

    @Test func seldomOverrunsCostNothing() throws {
        var book = OverrunHistory()
        let slow = try client("192.0.2.1")
        for number in 0..<100 { #expect(book.overran(0, for: slow, at: UInt64(number) * 6 * second) == .init()) }
    }

    @Test func barsDoubleUpToAMinute() throws {
        var book = OverrunHistory()
        let guilty = try client("192.0.2.1")
        var now = 100 * second
        _ = book.overran(0, for: guilty, at: now)
        _ = book.overran(0, for: guilty, at: now)
        var bars: [UInt64] = []
        for _ in 0..<8 {
            let bar = try #require(book.overran(0, for: guilty, at: now).bar)
            bars.append(bar / second)
            now += bar + second
        }
        #expect(bars == [1, 2, 4, 8, 16, 32, 60, 60])
    }

    @Test func overrunsThatHadBegunBeforeTheBarDoNotLengthenIt() throws {
        var book = OverrunHistory()
        let guilty = try client("192.0.2.1")
        for _ in 0..<3 { _ = book.overran(0, for: guilty, at: 100 * second) }
        #expect(book.overran(0, for: guilty, at: 100 * second + second / 2) == .init(bar: second / 2))
        #expect(!book.isBarred(guilty, from: 0, at: 101 * second))
    }

    @Test func clientIsForgiven() throws {
        var book = OverrunHistory()
        let guilty = try client("192.0.2.1")
        for _ in 0..<3 { _ = book.overran(0, for: guilty, at: 100 * second) }
        // The bar ends at 101.
        #expect(book.overran(0, for: guilty, at: 162 * second) == .init())
        #expect(book.overran(0, for: guilty, at: 162 * second) == .init())
        #expect(book.overran(0, for: guilty, at: 162 * second) == .init(bar: second, isNew: true))
        #expect(book.end == 223 * second)
    }

    @Test func networkOfAnIPv6AddressIsOneClient() throws {
        #expect(try client("2001:db8::1") == client("2001:db8::ffff:0:1"))
        #expect(try client("2001:db8:0:1::1") != client("2001:db8::1"))
        #expect(try client("192.0.2.1") != client("192.0.2.2"))
        #expect(try client("192.0.2.1") == client("::ffff:192.0.2.1"))
        // The same eight octets in the other family.
        #expect(try client("0.0.0.1") != client("::1"))
    }

    @Test func manyClientsMakeItThePolicysFault() throws {
        var book = OverrunHistory()
        var told: [Int] = []
        for number in 0..<30 {
            let judgement = book.overran(7, for: try client("192.0.2.\(number)"), at: 100 * second)
            if judgement.isWidespread { told.append(number) }
            #expect(judgement.bar == nil)
        }
        #expect(told == [9], "told once")
        let next = book.overran(7, for: try client("192.0.2.1"), at: 159 * second)
        #expect(!next.isWidespread)
        for number in 0..<10 {
            let judgement = book.overran(7, for: try client("198.51.100.\(number)"), at: 161 * second)
            // With the one of two seconds ago.
            #expect(judgement.isWidespread == (number == 8))
        }
    }

    @Test func timersAreThePolicysFaultAtOnce() {
        var book = OverrunHistory()
        #expect(book.overran(1, for: nil, at: 100 * second) == .init(isWidespread: true))
        #expect(book.overran(1, for: nil, at: 159 * second) == .init())
        #expect(book.overran(2, for: nil, at: 159 * second) == .init(isWidespread: true))
        #expect(book.overran(1, for: nil, at: 160 * second) == .init(isWidespread: true))
        #expect(book.isEmpty)
    }

    @Test func oldestIsForgottenWhenTheBookIsFull() throws {
        var book = OverrunHistory()
        let first = try client("10.0.0.0")
        for _ in 0..<3 { _ = book.overran(0, for: first, at: second) }
        for number in 1..<OverrunHistory.limit {
            _ = book.overran(Int32(number), for: first, at: 2 * second)
        }
        #expect(book.isBarred(first, from: 0, at: second + 1))
        _ = book.overran(0, for: try client("10.0.0.1"), at: 2 * second)
        #expect(book.count == OverrunHistory.limit)
        #expect(!book.isBarred(first, from: 0, at: second + 1))
    }

    @Test func ledgerSaysNothingOnceAllIsForgiven() throws {
        let tracker = OverrunTracker()
        let guilty = try client("192.0.2.1")
        let policy = tracker.number(of: "a.lua")
        #expect(tracker.number(of: "a.lua") == policy)
        #expect(tracker.number(of: "b.lua") != policy)
        #expect(!tracker.isActive)
        for _ in 0..<3 { _ = tracker.overran(policy, for: guilty, at: 100 * second) }
        #expect(tracker.isActive)
        #expect(tracker.isBarred(guilty, from: policy, at: 100 * second))
        #expect(!tracker.isBarred(guilty, from: policy, at: 102 * second))
        #expect(tracker.isActive)
        #expect(!tracker.isBarred(guilty, from: policy, at: 161 * second))
        #expect(!tracker.isActive)
    }
}
