import CMoongate
import MoongateLua

/// `moon.limit{…}` and `moon.concurrency{…}`: how often, and how many at once.
enum LimitBinding {
    /// What stands behind an object: a rate, or a number of requests at the same time.
    private final class Limit {
        enum Kind {
            /// Made while the policy loaded, the limit is held as one of its table's.
            case rate(LimitTable, RateLimit, LimitHold?)
            /// The number, and what keeps its keys apart from those of the file's other limits.
            case concurrency(ConcurrencySlots, most: Int, seed: UInt64)
        }
        let kind: Kind
        init(_ kind: Kind) { self.kind = kind }
    }

    /// What an object takes beside Lua's own memory.
    private static let size = 256

    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.limit, name: "limit",
            summary: "A limit that all workers share, made by `moon.limit` or `moon.concurrency`.", bindings: methods,
            release: release)
    }

    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "limit", "=t",
                type: """
                    (options: {rate: number, burst?: number, name?: string, keys?: integer, dict?: string, \
                    key?: string, cost?: number}): Limit|boolean, number?, integer?
                    """,
                doc: """
                    A limit of `rate` per second with a `burst` of units at once (the rate, at least 1), counted per key \
                    for all workers. Limits of a policy's file with the same `name`, rate and burst are the same limit; \
                    with `dict`, those of all policies that name this shared dict. The limits of a file, or of a dict, \
                    count `keys` keys (100,000; the dict's `max`) apart, of which each limit may always have its part. \
                    Beyond that, keys that they do not know share one bucket for each limit, and no key is forgotten \
                    before its bucket is full again. With a `key` it takes at once and gives what `take` gives.
                    """, constructs: PolicyClasses.limit, makeRate),
            LuaBinding(
                "concurrency", "=t", type: "(options: {max: integer, name?: string}): Limit",
                doc: """
                    A limit of `max` requests at the same time, per key and over all workers. Limits of a policy's file with \
                    the same `name` share their slots. What a request takes it gives back when it ends, however it ends; \
                    it may hold 256 slots. Beyond 100,000 keys of which slots are held, others of the file share their slots.
                    """, constructs: PolicyClasses.limit, makeConcurrency),
        ]
    }

    private static var methods: [LuaBinding] {
        [
            LuaBinding(
                "take", "sn?", type: "(key: string, cost?: number): boolean, number, integer",
                doc: """
                    Takes `cost` (1) units for a key: whether there were enough, the seconds after which there will \
                    be, and the whole units that are left. What is refused costs nothing. More than the burst is \
                    never there: `math.huge` seconds. A concurrency limit takes one slot, in hooks only.
                    """, take)
        ]
    }

    // MARK: Making

    private struct Options {
        var rate: Double?
        var burst: Double?
        var name: String?
        var dict: String?
        var key: String?
        var cost: Double?
        var max: Int64?
        var keys: Int?
    }

    private static func options(_ call: BindingCall, known: [String]) throws(StateFault) -> Options {
        guard let table = call.value(0) else { throw StateFault("options must be plain values") }
        var options = Options()
        for (name, value) in try table.options() {
            guard known.contains(name) else {
                throw StateFault(.unknown("option", name, among: known))
            }
            switch (name, value) {
            case ("name", .string(let text)): options.name = text
            case ("dict", .string(let text)): options.dict = text
            case ("key", .string(let text)): options.key = text
            case ("max", .integer(let number)) where number >= 0: options.max = number
            case ("keys", .integer(let number)) where (1...10_000_000).contains(number): options.keys = Int(number)
            case ("keys", _): throw StateFault("keys must be a whole number from 1 to 10000000")
            case ("rate", _), ("burst", _), ("cost", _):
                guard let number = value.double, number > 0, number.isFinite else {
                    throw StateFault("\(known: name) must be a number above 0")
                }
                if name == "rate" { options.rate = number }
                if name == "burst" { options.burst = number }
                if name == "cost" { options.cost = number }
            case ("max", _): throw StateFault("max must be a whole number, not negative")
            default: throw StateFault("\(known: name) must be a text")
            }
        }
        return options
    }

    /// What a rate limit is made of.
    private struct Rate {
        let table: LimitTable
        let identity: String
        let interval: Double
        let burst: Double
        let keys: Int

        var hold: LimitHold { table.lasting(identity, interval: interval, burst: burst, keys: keys) }
        var passing: RateLimit { table.passing(identity, interval: interval, burst: burst, keys: keys) }
    }

    private static func rate(_ call: BindingCall, _ options: Options) throws(StateFault) -> Rate {
        guard let engine = call.engine else { throw StateFault("there is no engine") }
        guard let rate = options.rate, (1e-6...1e9).contains(rate) else {
            throw StateFault("rate must be a number above 0: units per second")
        }
        let burst = options.burst ?? max(1, rate.rounded(.up))
        guard burst >= 1, burst / rate <= 1e9 else { throw StateFault("burst must be at least 1") }
        let (table, keys) = try table(call, engine, options)
        let identity = "\(options.name ?? "")\u{1f}\(rate)\u{1f}\(burst)"
        return Rate(table: table, identity: identity, interval: 1e9 / rate, burst: burst, keys: keys)
    }

    private static func table(
        _ call: BindingCall, _ engine: PolicyEngine, _ options: Options
    ) throws(StateFault) -> (LimitTable, keys: Int) {
        guard let name = options.dict else {
            let keys = options.keys ?? LimitTable.defaultKeys
            return (engine.resources.rates(keys: keys), keys)
        }
        guard options.keys == nil else { throw StateFault("keys is for limits without a dict, whose max counts") }
        guard name.withBytes(SharedName.isValid) else {
            throw StateFault("dict is no name of a dict: letters, digits, '.', '_', ':', '/' and '-'")
        }
        let dict: SharedDict
        if let known = engine.resources.dicts[name] {
            dict = known
        } else if call.run == nil {
            dict = try engine.resources.dict(name, nil)
        } else {
            throw StateFault("dict names no dict: make it with moon.dict while the policy loads")
        }
        let keys = engine.resources.entries(of: dict)
        return (dict.rates(keys: keys), keys)
    }

    private static let makeRate: mg_leaf = { call in
        do throws(StateFault) {
            let options = try options(call, known: ["burst", "cost", "dict", "key", "keys", "name", "rate"])
            let rate = try rate(call, options)
            let hold = call.run == nil ? rate.hold : nil
            let limit = hold?.limit ?? rate.passing
            guard let key = options.key else {
                guard options.cost == nil else { return call.fail("moon.limit: cost is for limits with a key") }
                call.pointee.created = Unmanaged.passRetained(Limit(.rate(rate.table, limit, hold))).toOpaque()
                call.pointee.created_size = size
                return MG_RETURN
            }
            return key.withBytes { take(call, rate.table, limit, $0, cost: options.cost ?? 1) }
        } catch {
            return call.fail("moon.limit: \(error.message)")
        }
    }

    private static let makeConcurrency: mg_leaf = { call in
        guard let engine = call.engine else { return MG_RETURN }
        do throws(StateFault) {
            let options = try options(call, known: ["max", "name"])
            guard let most = options.max else { return call.fail("moon.concurrency: max is missing") }
            let limit = Limit(
                .concurrency(
                    engine.resources.slots, most: Int(clamping: most),
                    seed: KeyDigester.seed(options.name ?? "")))
            call.pointee.created = Unmanaged.passRetained(limit).toOpaque()
            call.pointee.created_size = size
            return MG_RETURN
        } catch {
            return call.fail("moon.concurrency: \(error.message)")
        }
    }

    private static let release: @convention(c) (UnsafeMutableRawPointer) -> Void = {
        Unmanaged<Limit>.fromOpaque($0).release()
    }

    // MARK: Taking

    private static let take: mg_leaf = { call in
        guard let native = call.pointee.object?.pointee.native else { return MG_RETURN }
        let limit = Unmanaged<Limit>.fromOpaque(native).takeUnretainedValue()
        let cost = call.isAbsent(1) ? 1 : call.pointee.arguments[1].number
        guard cost > 0, cost.isFinite else { return call.fail("cost must be a number above 0") }
        let key = call.bytes(0)
        switch limit.kind {
        case .rate(let table, let limit, _): return take(call, table, limit, key, cost: cost)
        case .concurrency(let slots, let most, let seed): return takeSlot(call, slots, key, most, seed, cost)
        }
    }

    private static func take(
        _ call: BindingCall, _ table: LimitTable, _ limit: RateLimit, _ key: Bytes, cost: Double
    ) -> mg_action {
        guard key.count <= SharedDict.longestKey else { return call.fail("the key is too long") }
        let answer = table.take(limit, key, cost: cost)
        call.give(answer.isAllowed)
        call.give(answer.wait / 1e9)
        call.give(answer.remaining)
        return MG_RETURN
    }

    private static func takeSlot(
        _ call: BindingCall, _ slots: ConcurrencySlots, _ key: Bytes, _ most: Int, _ seed: UInt64, _ cost: Double
    ) -> mg_action {
        guard let run = call.run else {
            return call.fail("a concurrency limit is for hooks: its slots belong to a request")
        }
        guard cost == 1 else { return call.fail("a concurrency limit takes one slot") }
        guard key.count <= SharedDict.longestKey else { return call.fail("the key is too long") }
        let held = run.heldSlots ?? HeldSlots()
        guard !held.isFull else { return call.fail("the request holds \(HeldSlots.most) slots already") }
        guard let taken = slots.take(seed, key, limit: most) else {
            call.give(false)
            call.give(0.0)
            call.give(Int64(0))
            return MG_RETURN
        }
        held.add(taken.key, of: slots)
        run.heldSlots = held
        call.give(true)
        call.give(0.0)
        call.give(Int64(most - taken.count))
        return MG_RETURN
    }
}
