import CMoongate
import MoongateLua

/// The handle's clock: wall clock time since 1970.
enum TimeBinding {
    static var resolutions: PolicyLibrary {
        PolicyLibrary(
            name: "EnvoyTimestampResolution", summary: "The resolutions of `timestamp` and `timestampString`.",
            constants: [("MILLISECOND", 1), ("MICROSECOND", 2)])
    }

    static func microseconds(_ call: BindingCall) -> Int64 {
        call.engine?.services.registry.state.clock.unixMicroseconds() ?? 0
    }

    /// `EnvoyTimestampResolution` as an argument: 1 milliseconds (and the default), 2 microseconds; 0 for others.
    private static func resolution(_ call: BindingCall) -> Int64 {
        let value = call.pointee.arguments[0]
        if value.kind == MG_NIL { return 1 }
        return value.kind == MG_INTEGER && (1...2).contains(value.integer) ? value.integer : 0
    }

    static let timestamp: mg_leaf = { call in
        guard resolution(call) == 1 else { return call.fail("timestamp format must be MILLISECOND.") }
        call.give(microseconds(call) / 1000)
        return MG_RETURN
    }

    static let timestampString: mg_leaf = { call in
        switch resolution(call) {
        case 1: call.give(copyOf: String(microseconds(call) / 1000))
        case 2: call.give(copyOf: String(microseconds(call)))
        default: return call.fail("timestamp format must be MILLISECOND or MICROSECOND.")
        }
        return MG_RETURN
    }
}
