import Testing

@testable import Moongate

/// The store behind `moon.limit`.
@Suite struct LimitTableTests {
    let clock = StateClock()

    init() { clock.advance(by: 0) }

    private static let second: UInt64 = 1_000_000_000

    /// One unit per second for each key.
    private func limit(_ table: LimitTable, _ name: String = "login", burst: Double = 1, keys: Int = 1000) -> LimitHold
    {
        table.lasting(name, interval: 1e9, burst: burst, keys: keys)
    }

    private func take(_ hold: LimitHold, _ key: String) -> Bool {
        key.withBytes { hold.table.take(hold.limit, $0, cost: 1) }.isAllowed
    }

    @Test func aBucketFillsEvenly() throws {
        let hold = LimitTable("t", keys: 100, clock: clock).lasting("l", interval: 1e9 / 10, burst: 5, keys: 100)
        func take(_ cost: Double = 1) -> LimitAnswer {
            "key".withBytes { hold.table.take(hold.limit, $0, cost: cost) }
        }
        for left in [4, 3, 2, 1, 0] {
            let answer = take()
            #expect(answer.isAllowed && answer.remaining == Int64(left))
        }
        let refused = take()
        #expect(!refused.isAllowed && refused.remaining == 0 && abs(refused.wait - 1e8) < 10)
        clock.advance(by: 100_000_000)
        #expect(take().isAllowed)
        #expect(!take().isAllowed)
        clock.advance(by: 250_000_000)
        #expect(take(2).isAllowed)
        #expect(!take().isAllowed)
        #expect(take(6).wait == .infinity)
        clock.advance(by: 3_600_000_000_000)
        #expect(take(5).remaining == 0)
        #expect(!take(0.5).isAllowed)
    }

    /// A flood of keys that nobody knows: those that count go on counting, whatever comes.
    @Test(arguments: [100, 20_000]) func aFullTableForgetsNothingThatCounts(keys: Int) {
        let table = LimitTable("t", keys: keys, clock: clock)
        let hold = limit(table, keys: keys)
        #expect(take(hold, "victim"))
        var allowed = 0
        for number in 0..<(keys * 3) where take(hold, "flood-\(number)") { allowed += 1 }
        #expect(!take(hold, "victim"))
        #expect(!take(hold, "flood-0"))
        // All others share a bucket of one unit.
        #expect(allowed == keys)
        #expect(table.figures.keys == keys && table.figures.shared == UInt64(keys * 2 + 1))
        // What is full again goes first.
        clock.advance(by: LimitTableTests.second)
        #expect(take(hold, "fresh") && !take(hold, "fresh"))
        for number in 0..<keys { _ = take(hold, "later-\(number)") }
        #expect(table.figures.keys == keys)
        #expect(!take(hold, "fresh"))
    }

    /// A bucket that was used again meanwhile is no expired one.
    @Test func aBucketThatGoesOnCountingIsNotDropped() {
        let table = LimitTable("t", keys: 10, clock: clock)
        let hold = limit(table, burst: 3, keys: 10)
        #expect(take(hold, "busy"))
        for number in 0..<9 { _ = take(hold, "\(number)") }
        clock.advance(by: LimitTableTests.second / 2)
        for _ in 0..<2 { #expect(take(hold, "busy")) }
        clock.advance(by: LimitTableTests.second / 2)
        for number in 0..<9 { #expect(take(hold, "new-\(number)")) }
        // Three taken, one has come in.
        #expect(take(hold, "busy") && !take(hold, "busy"))
    }

    @Test func oneLimitsKeysLeaveTheOthersTheirPart() {
        let table = LimitTable("t", keys: 1000, clock: clock)
        let first = limit(table, "first")
        let second = limit(table, "second")
        for number in 0..<5000 { _ = take(first, "\(number)" + String(repeating: "x", count: 8000)) }
        #expect(table.figures.keys == 1000)
        for number in 0..<500 { #expect(take(second, "\(number)") && !take(second, "\(number)")) }
        // Its part is used up; the next keys share a bucket.
        #expect(take(second, "a") && !take(second, "b"))
        #expect(!take(first, "0" + String(repeating: "x", count: 8000)))
        #expect(table.figures.keys == 1500)
    }

    @Test func limitsOfHooksShareOnePart() {
        let table = LimitTable("t", keys: 1000, clock: clock)
        let hold = limit(table)
        var allowed = 0
        for number in 0..<3000 {
            let passing = table.passing("dynamic-\(number)", interval: 1e9, burst: 1, keys: 1000)
            if "key".withBytes({ table.take(passing, $0, cost: 1) }).isAllowed { allowed += 1 }
        }
        #expect(allowed >= 1000 && allowed <= 1100)
        for number in 0..<500 { #expect(take(hold, "\(number)") && !take(hold, "\(number)")) }
        #expect(table.figures.keys <= 2000)
        // One that is known stays the same limit.
        let again = table.passing("dynamic-0", interval: 1e9, burst: 1, keys: 1000)
        #expect(!"key".withBytes { table.take(again, $0, cost: 1) }.isAllowed)
        let known = table.passing("login", interval: 1e9, burst: 1, keys: 1000)
        #expect(known === hold.limit)
    }

    @Test func aReloadKeepsWhatWasCounted() {
        let tables = LimitTables(clock: clock)
        var old: LimitHold? = limit(tables.rates(of: "a.lua", keys: 1000))
        #expect(old.map { take($0, "key") } == true)
        let fresh = limit(tables.rates(of: "a.lua", keys: 2000), keys: 2000)
        #expect(fresh.table === old?.table)
        old = nil
        #expect(!take(fresh, "key"))
        #expect(take(limit(tables.rates(of: "b.lua", keys: 1000)), "key"))
        #expect(tables.living().map(\.name) == ["a.lua"])
        for number in 0..<1999 { #expect(take(fresh, "\(number)")) }
        #expect(fresh.table.figures.shared == 0)
    }

    @Test func flushingForgetsEverything() {
        let table = LimitTable("t", keys: 10, clock: clock)
        let hold = limit(table, keys: 10)
        for number in 0..<20 { _ = take(hold, "\(number)") }
        table.flush()
        #expect(table.figures.keys == 0)
        for number in 0..<10 { #expect(take(hold, "\(number)")) }
        #expect(table.figures.keys == 10)
    }

    /// Threads on the same keys: a limit lets exactly its burst through, and keys come and go.
    @Test func threadsLoseNothing() throws {
        let table = LimitTable("t", keys: 500, clock: StateClock())
        let hold = table.lasting("l", interval: 1e15, burst: 1000, keys: 500)
        let short = table.lasting("short", interval: 1e3, burst: 1, keys: 500)
        let (limit, brief) = (hold.limit, short.limit)
        let allowed = Locked(0)
        let threads = try (0..<2).map { number in
            try OSThread.start(name: "hammer-\(number)", stackSize: 256 << 10) {
                var taken = 0
                for round in 0..<20_000 {
                    if "limit".withBytes({ table.take(limit, $0, cost: 1) }).isAllowed { taken += 1 }
                    _ = "\(round % 3000)".withBytes { table.take(brief, $0, cost: 1) }
                }
                let sum = taken
                allowed.withLock { $0 += sum }
            }
        }
        for thread in threads { thread.join() }
        #expect(allowed.withLock { $0 } == 1000)
        #expect(table.figures.keys > 0 && table.figures.keys <= 1000)
        withExtendedLifetime((hold, short)) {}
    }
}
