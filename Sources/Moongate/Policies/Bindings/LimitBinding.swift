import CMoongate
import MoongateLua

/// `moon.limit{…}` and `moon.concurrency{…}`: how often, and how many at once.
enum LimitBinding {
    /// What stands behind an object: a rate, or a number of requests at the same time.
    private final class Limit {
        enum Kind {
            case rate(SharedDict, interval: Double, burst: Double)
            case concurrency(Int)
        }
        let kind: Kind
        /// Before each key, so that different limits do not share buckets.
        let prefix: [UInt8]
        init(_ kind: Kind, prefix: String) {
            self.kind = kind
            self.prefix = Array(prefix.utf8)
        }
    }

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
                    (options: {rate: number, burst?: number, name?: string, dict?: string, key?: string, \
                    cost?: number}): Limit|boolean, number?, integer?
                    """,
                doc: """
                    A limit of `rate` per second with a `burst` of units at once (the rate, at least 1), kept per key \
                    in a shared dict. Limits with the same `name` (the policy's file), `dict`, rate and burst are the \
                    same limit. With a `key` it takes at once and gives what `take` gives.
                    """, constructs: PolicyClasses.limit, makeRate),
            LuaBinding(
                "concurrency", "=t", type: "(options: {max: integer, name?: string}): Limit",
                doc: """
                    A limit of `max` requests at the same time, per key and over all workers. What a request takes it \
                    gives back when it ends, however it ends.
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

    /// Where limits that name no dict keep their buckets.
    private static let ownDict = "moon.limit"

    private static func limit(_ call: BindingCall, _ options: Options) throws(StateFault) -> Limit {
        guard let engine = call.engine else { throw StateFault("there is no host") }
        guard let rate = options.rate, (1e-6...1e9).contains(rate) else {
            throw StateFault("rate must be a number above 0: units per second")
        }
        let burst = options.burst ?? max(1, rate.rounded(.up))
        guard burst >= 1, burst / rate <= 1e9 else { throw StateFault("burst must be at least 1") }
        let name = options.dict ?? ownDict
        guard name.withBytes(SharedName.isValid) else {
            throw StateFault("dict is no name of a dict: letters, digits, '.', '_', ':', '/' and '-'")
        }
        let dict: SharedDict
        if let known = engine.holdings.dicts[name] {
            dict = known
        } else if call.run == nil || options.dict == nil {
            dict = try engine.holdings.dict(name, options.dict == nil ? SharedDict.Limits(entries: 100_000) : nil)
        } else {
            throw StateFault("dict names no dict: make it with moon.dict while the policy loads")
        }
        let owner = options.name ?? engine.unit.file.chunkName
        return Limit(
            .rate(dict, interval: 1e9 / rate, burst: burst), prefix: "\(owner)\u{1f}\(rate)\u{1f}\(burst)\u{1f}")
    }

    /// The policy's file.

    private static let makeRate: mg_leaf = { call in
        do throws(StateFault) {
            let options = try options(call, known: ["burst", "cost", "dict", "key", "name", "rate"])
            let limit = try limit(call, options)
            guard let key = options.key else {
                guard options.cost == nil else { return call.fail("moon.limit: cost is for limits with a key") }
                call.pointee.created = Unmanaged.passRetained(limit).toOpaque()
                return MG_RETURN
            }
            return key.withBytes { take(call, limit, $0, cost: options.cost ?? 1) }
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
                .concurrency(Int(clamping: most)), prefix: "\(options.name ?? engine.unit.file.chunkName)\u{1f}")
            call.pointee.created = Unmanaged.passRetained(limit).toOpaque()
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
        return take(call, limit, call.bytes(0), cost: cost)
    }

    private static func take(_ call: BindingCall, _ limit: Limit, _ key: Bytes, cost: Double) -> mg_action {
        guard limit.prefix.count + key.count <= SharedDict.longestKey else { return call.fail("the key is too long") }
        guard case .rate(let dict, let interval, let burst) = limit.kind else {
            return takeSlot(call, limit, key, cost)
        }
        let answer = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: limit.prefix.count + key.count) { buffer in
            guard let base = buffer.baseAddress else { return nil as LimitAnswer? }
            for (index, byte) in limit.prefix.enumerated() { base[index] = byte }
            (base + limit.prefix.count).update(from: key.base, count: key.count)
            return dict.take(Bytes(UnsafePointer(base), buffer.count), interval: interval, burst: burst, cost: cost)
        }
        guard let answer else { return call.fail("the key does not fit into the dict '\(known: dict.name)'") }
        call.give(answer.isAllowed)
        call.give(answer.wait / 1e9)
        call.give(answer.remaining)
        return MG_RETURN
    }

    private static func takeSlot(_ call: BindingCall, _ limit: Limit, _ key: Bytes, _ cost: Double) -> mg_action {
        guard case .concurrency(let most) = limit.kind, let engine = call.engine, let run = call.run else {
            return call.fail("a concurrency limit is for hooks: its slots belong to a request")
        }
        guard cost == 1 else { return call.fail("a concurrency limit takes one slot") }
        let slots = engine.services.registry.state.slots
        let name = limit.prefix + key.buffer
        guard let taken = slots.take(name, limit: most) else {
            call.give(false)
            call.give(0.0)
            call.give(Int64(0))
            return MG_RETURN
        }
        let held = run.pointer.pointee.heldSlots ?? HeldSlots(slots)
        held.add(name)
        run.pointer.pointee.heldSlots = held
        call.give(true)
        call.give(0.0)
        call.give(Int64(most - taken))
        return MG_RETURN
    }
}
