import Glibc
import Testing

@testable import Moongate

/// The store behind `moon.dict`.
@Suite struct SharedDictTests {
    let clock = StateClock()

    init() { clock.advance(by: 0) }

    private func dict(_ entries: Int = 100, bytes: Int = 1 << 20, life: UInt64 = 0) throws -> SharedDict {
        try #require(SharedDict("test", .init(entries: entries, bytes: bytes, life: life), clock: clock))
    }

    private func text(_ dict: SharedDict, _ key: String) -> String? {
        var text: String?
        key.withBytes { dict.read($0) { text = $0.bytes.string } }
        return text
    }

    @discardableResult private func set(
        _ dict: SharedDict, _ key: String, _ text: String, _ mode: DictShard.Mode = .set, life: UInt64? = nil
    ) -> DictShard.Outcome {
        key.withBytes { key in
            text.withBytes { dict.write(key, DictValue(kind: .text, bytes: $0), mode, life: life) }
        }
    }

    private func add(_ dict: SharedDict, _ key: String, _ amount: Int64, initial: Int64 = 0, life: UInt64? = nil)
        -> Int64?
    {
        key.withBytes { key in
            let result = dict.increment(
                key, by: DictValue(integer: amount), initial: DictValue(integer: initial), life: life)
            guard case .value(let sum) = result else { return nil }
            return Int64(bitPattern: sum.bits)
        }
    }

    @Test func valuesAreKeptReplacedAndRemoved() throws {
        let dict = try dict()
        #expect(set(dict, "a", "one", .replace) == .refused)
        #expect(set(dict, "a", "one", .add) == .done)
        #expect(set(dict, "a", "two", .add) == .refused)
        #expect(text(dict, "a") == "one")
        #expect(set(dict, "a", "longer than before", .replace) == .done)
        #expect(text(dict, "a") == "longer than before")
        #expect(set(dict, "", "empty key") == .done)
        #expect(text(dict, "") == "empty key")
        #expect("a".withBytes { dict.remove($0) })
        #expect(!"a".withBytes { dict.remove($0) })
        #expect(text(dict, "a") == nil)
        #expect(dict.figures.entries == 1)
    }

    @Test func valuesExpireByTheClock() throws {
        let dict = try dict(life: 10)
        set(dict, "short", "x")
        set(dict, "long", "x", life: 1000)
        set(dict, "ever", "x", life: 0)
        clock.advance(by: 9)
        #expect(text(dict, "short") == "x")
        #expect("short".withBytes { dict.life(of: $0) } == 1)
        clock.advance(by: 1)
        #expect(text(dict, "short") == nil)
        #expect("long".withBytes { dict.expire($0, life: 5) })
        clock.advance(by: 5)
        #expect(text(dict, "long") == nil)
        #expect(text(dict, "ever") == "x")
        #expect("ever".withBytes { dict.life(of: $0) } == 0)
        #expect(!"long".withBytes { dict.expire($0, life: 5) })
    }

    @Test func whatWasUsedLongestAgoMakesRoom() throws {
        let dict = try dict(3)
        for key in ["a", "b", "c"] { set(dict, key, key) }
        #expect(text(dict, "a") == "a")
        set(dict, "d", "d")
        #expect(text(dict, "b") == nil)
        #expect(["a", "c", "d"].allSatisfy { text(dict, $0) == $0 })
        #expect(dict.figures.evictions == 1)
    }

    @Test func bytesAreBounded() throws {
        let dict = try dict(10_000, bytes: 10_000)
        for index in 0..<500 { set(dict, "key-\(index)", String(repeating: "x", count: index)) }
        let figures = dict.figures
        #expect(figures.weight <= 10_000 && figures.entries > 5)
        #expect(text(dict, "key-499")?.count == 499)
        #expect(set(dict, "huge", String(repeating: "x", count: 10_000)) == .tooLarge)
        // One that needs all the room gets it, over several steps.
        #expect(set(dict, "large", String(repeating: "x", count: 9_800)) == .done)
        #expect(dict.figures.entries == 1)
        #expect(set(dict, "large", "small") == .done)
        #expect(dict.figures.weight == DictTable.weight(key: 5, value: 5))
    }

    @Test func theExpiredGoBeforeTheLiving() throws {
        let dict = try dict(4)
        set(dict, "dead", "x", life: 5)
        for key in ["a", "b", "c"] { set(dict, key, key) }
        clock.advance(by: 5)
        set(dict, "d", "d")
        #expect(["a", "b", "c", "d"].allSatisfy { text(dict, $0) == $0 })
        #expect(dict.figures.evictions == 0)
    }

    @Test func numbersAddUpAndStopAtTheirEnds() throws {
        let dict = try dict()
        #expect(add(dict, "n", 5, initial: 10, life: 100) == 15)
        clock.advance(by: 60)
        #expect(add(dict, "n", -20, life: 1000) == -5)
        clock.advance(by: 40)
        #expect(add(dict, "n", 1) == 1)
        #expect(add(dict, "max", 1, initial: .max) == .max)
        #expect(add(dict, "min", -1, initial: .min) == .min)
        set(dict, "text", "x")
        #expect(add(dict, "text", 1) == nil)
        "half".withBytes { key in
            guard
                case .value(let sum) = dict.increment(
                    key, by: DictValue(number: 0.5), initial: DictValue(integer: 1), life: nil)
            else { return #expect(Bool(false)) }
            #expect(sum.kind == .number && sum.number == 1.5)
        }
    }

    @Test func manyEntriesComeAndGo() throws {
        let dict = try dict(1000)
        var random = SystemRandomNumberGenerator()
        var model: [String: String] = [:]
        for step in 0..<20_000 {
            let key = "k\(UInt32.random(in: 0..<900, using: &random))"
            if UInt8.random(in: 0..<3, using: &random) == 0 {
                #expect(key.withBytes { dict.remove($0) } == (model.removeValue(forKey: key) != nil))
            } else {
                set(dict, key, "\(step)")
                model[key] = "\(step)"
            }
        }
        #expect(dict.figures.entries == model.count)
        #expect(model.allSatisfy { text(dict, $0.key) == $0.value })
        var keys: Set<String> = []
        dict.keys(limit: 10_000) { keys.insert($0.string) }
        #expect(keys == Set(model.keys))
        var some = 0
        dict.keys(limit: 7) { _ in some += 1 }
        #expect(some == 7)
        dict.flush()
        #expect(dict.figures.entries == 0 && dict.figures.weight == 0)
    }

    @Test func otherLimitsKeepWhatFits() throws {
        let dict = try dict(10)
        for index in 0..<10 { set(dict, "\(index)", "x") }
        dict.use(.init(entries: 4, bytes: 1 << 20))
        #expect(dict.figures.entries == 4)
        #expect(text(dict, "9") == "x" && text(dict, "5") == nil)
        dict.use(.init(entries: 100_000, bytes: 32 << 20))
        for index in 10..<50 { set(dict, "\(index)", "x") }
        #expect(dict.figures.entries == 44)
        #expect(text(dict, "6") == "x")
    }

    /// Two threads on the same keys: every addition counts once.
    @Test func threadsLoseNothing() throws {
        let dict = try dict(4096)
        let rounds = 20_000
        let threads = try (0..<2).map { number in
            try OSThread.start(name: "hammer-\(number)", stackSize: 256 << 10) {
                for round in 0..<rounds {
                    "sum-\(round % 8)".withBytes { key in
                        _ = dict.increment(key, by: DictValue(integer: 1), initial: DictValue(integer: 0), life: nil)
                    }
                    "own-\(number)-\(round % 500)".withBytes { key in
                        "value".withBytes { _ = dict.write(key, DictValue(kind: .text, bytes: $0), .set, life: nil) }
                        if round % 3 == 0 { _ = dict.remove(key) }
                    }
                    if round % 1000 == 0 { dict.keys(limit: 100) { _ in } }
                }
            }
        }
        for thread in threads { thread.join() }
        let sum = (0..<8).reduce(Int64(0)) { $0 + (add(dict, "sum-\($1)", 0) ?? 0) }
        #expect(sum == Int64(2 * rounds))
    }

    @Test func dictsLiveWithThoseWhoUseThem() throws {
        let dicts = SharedDicts(clock: clock)
        var first = dicts.dict("a", .init())
        let second = dicts.dict("a", .init())
        #expect(first === second)
        first = nil
        #expect(dicts.living().map(\.name) == ["a"])
        withExtendedLifetime(second) {}
    }
}
