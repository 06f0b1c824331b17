import MoongateConfig
import Testing

@testable import Moongate

@Suite struct FetchedKeySetTests {
    private let name = FetchedKeySet.Name(upstream: "idp", path: "/keys")
    private let second: UInt64 = 1_000_000_000
    private let one = FetchedKeySetTests.target("10.0.0.1")
    private let two = FetchedKeySetTests.target("10.0.0.2")

    private static func target(_ host: String, _ tls: UpstreamTLSConfig? = nil, weight: Int = 1) -> UpstreamTarget {
        let address = SocketAddressConfig(host: host, port: 443)
        return UpstreamTarget(
            UpstreamConfig(name: "idp", endpoints: [.init(address: address, weight: weight)], tls: tls))
    }

    private func fetch(
        _ set: FetchedKeySet, _ target: UpstreamTarget, at now: Instant, keys: [JWTKey]? = []
    ) throws -> Bool {
        guard case .fetch(let ticket) = set.begin(target, refresh: 60 * second, now: now) else { return false }
        return set.finish(ticket, keys, target: target, now: now + 1)
    }

    @Test func oneFetchAtATime() {
        let set = FetchedKeySet(name)
        #expect(set.begin(one, refresh: 60 * second, now: second) == .fetch(ticket: 1))
        #expect(set.begin(one, refresh: 60 * second, now: 2 * second) == .notDue)
        #expect(set.want(one, now: 2 * second))
        // A fetch whose policy is gone is given up, and its answer comes too late.
        let late = second + FetchedKeySet.longestFetch
        #expect(set.begin(one, refresh: 60 * second, now: late) == .fetch(ticket: 2))
        #expect(!set.finish(1, [], target: one, now: late))
        #expect(set.finish(2, [], target: one, now: late))
    }

    @Test func theLastGoodKeysStayWhenAFetchFails() throws {
        let set = FetchedKeySet(name)
        #expect(try fetch(set, one, at: second))
        #expect(try !fetch(set, one, at: 30 * second))
        #expect(try !fetch(set, one, at: 61 * second, keys: nil))
        #expect(set.keys(of: one)?.fetchedAt == second)
        #expect(set.begin(one, refresh: 60 * second, now: 65 * second) == .notDue)
        #expect(try fetch(set, one, at: 67 * second))
        #expect(set.keys(of: one)?.fetchedAt == 67 * second)
        #expect(set.version == 2)
    }

    @Test func unknownKeysCauseOneFetchInTenSeconds() throws {
        let set = FetchedKeySet(name)
        #expect(try fetch(set, one, at: second))
        for _ in 0..<100 { #expect(!set.want(one, now: 5 * second)) }
        #expect(set.begin(one, refresh: 60 * second, now: 5 * second) == .notDue)
        #expect(set.want(one, now: 11 * second))
        #expect(try fetch(set, one, at: 11 * second))
        #expect(!set.want(one, now: 12 * second))
    }

    @Test func keysOfOneServerDoNotServeForAnother() throws {
        let set = FetchedKeySet(name)
        #expect(try fetch(set, one, at: second))
        #expect(set.keys(of: two) == nil)
        #expect(try fetch(set, two, at: 2 * second))
        // The reload is taken back.
        #expect(set.keys(of: one) != nil)
        #expect(try fetch(set, FetchedKeySetTests.target("10.0.0.3"), at: 3 * second))
        #expect(set.keys(of: two) == nil, "the number of targets is bounded")
    }

    @Test func anAnswerFromBeforeTheChangeIsNotTaken() {
        let set = FetchedKeySet(name)
        #expect(set.begin(one, refresh: 60 * second, now: second) == .fetch(ticket: 1))
        #expect(!set.finish(1, [], target: two, now: 2 * second))
        #expect(set.keys(of: one) == nil)
        #expect(set.keys(of: two) == nil)
        #expect(set.begin(two, refresh: 60 * second, now: 2 * second) == .fetch(ticket: 2))
    }

    @Test func aTargetIsWhoMayAnswer() {
        let named = UpstreamTLSConfig(serverName: "idp.example.com")
        #expect(FetchedKeySetTests.target("a", named) == FetchedKeySetTests.target("b", named))
        var unchecked = named
        unchecked.skipsVerification = true
        #expect(FetchedKeySetTests.target("a", unchecked) != FetchedKeySetTests.target("b", unchecked))
        let other = UpstreamTLSConfig(serverName: "idp.example.org")
        #expect(FetchedKeySetTests.target("a", named) != FetchedKeySetTests.target("a", other))
        #expect(FetchedKeySetTests.target("a", named) != FetchedKeySetTests.target("a"))
        #expect(FetchedKeySetTests.target("a", weight: 2) == FetchedKeySetTests.target("a"))
    }

    @Test func setsLiveAsLongAsSomebodyNamesThem() {
        let sets = FetchedKeySets()
        var set = sets.set(name)
        #expect(sets.set(name) === set)
        #expect(sets.count == 1)
        set = nil
        #expect(set == nil && sets.count == 0)
    }

    @Test func theNumberOfSetsIsBounded() {
        let sets = FetchedKeySets()
        var kept: [FetchedKeySet] = []
        for number in 0..<FetchedKeySets.limit {
            if let set = sets.set(.init(upstream: "idp", path: "/\(number)")) { kept.append(set) }
        }
        #expect(kept.count == FetchedKeySets.limit)
        #expect(sets.set(name) == nil)
        kept.removeLast()
        #expect(sets.set(name) != nil)
    }

    @Test func aFeedForgetsKeysThatAreTooOldOrFromElsewhere() throws {
        let set = FetchedKeySet(name)
        let directory = Directory(one)
        let (first, second) = (JWTKeyFeed(set, maxAge: 100 * second), JWTKeyFeed(set, maxAge: .max))
        #expect(first.begin(directory, refresh: 60 * self.second, now: self.second))
        #expect(!second.begin(directory, refresh: 60 * self.second, now: self.second))
        #expect(first.finish([], directory, now: self.second))
        #expect(count(first.look(directory, now: 2 * self.second)) == 0)
        #expect(count(second.look(directory, now: 2 * self.second)) == 0)
        #expect(count(first.look(directory, now: 3 * self.second)) == nil)
        #expect(count(first.look(directory, now: 102 * self.second)) == -1)
        #expect(count(second.look(directory, now: 102 * self.second)) == nil)
        #expect(count(second.look(Directory(two), now: 102 * self.second)) == -1)
    }

    /// -1: no keys any more; `nil`: no change.
    private func count(_ change: JWTKeyFeed.Change) -> Int? {
        guard case .keys(let keys) = change else { return nil }
        return keys?.count ?? -1
    }

    private final class Directory: UpstreamDirectory {
        private let only: UpstreamTarget
        init(_ only: UpstreamTarget) {
            self.only = only
            super.init()
        }
        override func target(of name: String) -> UpstreamTarget? { only }
    }
}
