import CMoongate
import MoongateLua

/// `moon.time` and `moon.uuid`.
enum TimeLibraryBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "time.now", "", type: "(): number", doc: "Seconds since 1970, with microseconds behind the point.", now),
            LuaBinding(
                "time.monotonic", "", type: "(): number",
                doc: "Seconds of a clock that is never set: for measuring how long something takes.", monotonic),
            LuaBinding(
                "time.iso", "n?", type: "(seconds?: number): string",
                doc: """
                    A time since 1970 (now without an argument) as RFC 3339 has it, in UTC: `2026-11-21T02:40:26Z`, with \
                    milliseconds where there are some.
                    """, iso),
            LuaBinding(
                "time.parse", "s", type: "(text: string): number?, string?",
                doc: """
                    Seconds since 1970 from a date and time of RFC 3339, a whole number if there is no fraction; nil and the \
                    reason for anything else.
                    """, parse),
            LuaBinding(
                "uuid", "i?", type: "(version?: integer): string",
                doc: "A new UUID (RFC 9562): random (version 4), or with version 7 beginning with the time.", uuid),
        ]
    }

    private static let now: mg_leaf = { call in
        call.give(Double(TimeBinding.microseconds(call)) / 1e6)
        return MG_RETURN
    }

    private static let monotonic: mg_leaf = { call in
        call.give(Double(call.engine?.services.registry.state.clock.now() ?? 0) / 1e9)
        return MG_RETURN
    }

    private static let iso: mg_leaf = { call in
        let given = call.isAbsent(0) ? Double(TimeBinding.microseconds(call)) / 1e6 : call.pointee.arguments[0].number
        // The text bounds the time by itself; NaN is none.
        guard let milliseconds = Int64(exactly: (min(max(given, 0), 1e12) * 1000).rounded()) else {
            return call.fail("moon.time.iso: the time is not a number")
        }
        call.give(copyOf: RFC3339.text(unixMilliseconds: milliseconds))
        return MG_RETURN
    }

    private static let parse: mg_leaf = { call in
        guard let (seconds, fraction) = RFC3339.parse(call.bytes(0)) else {
            return call.refuse("no date and time as in RFC 3339")
        }
        if fraction == 0 { call.give(seconds) } else { call.give(Double(seconds) + fraction) }
        return MG_RETURN
    }

    private static let uuid: mg_leaf = { call in
        let version = call.isAbsent(0) ? 4 : call.integer(0)
        guard version == 4 || version == 7 else { return call.fail("moon.uuid: the versions are 4 and 7") }
        var high = UInt64.random(in: 0...UInt64.max)
        var low = UInt64.random(in: 0...UInt64.max)
        // RFC 9562 §5.7: 48 bits of milliseconds; everything else is random.
        if version == 7 { high = UInt64(TimeBinding.microseconds(call) / 1000) << 16 | high & 0xffff }
        high = high & ~0xf000 | UInt64(version) << 12
        low = low & ~(3 << 62) | 2 << 62
        var text: [UInt8] = []
        for (index, word) in [high, low].enumerated() {
            for place in 0..<16 {
                let digit = index * 16 + place
                if [8, 12, 16, 20].contains(digit) { text.append(UInt8(ascii: "-")) }
                text.append(Hex.digit(UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * place)) & 15))
            }
        }
        return call.give(copyOf: text)
    }
}
