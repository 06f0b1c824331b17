import CMoongate
import Logging
import MoongateLua

/// Writing to the log. As in Envoy, every object of a request can do it, not the handle alone.
enum LogBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "logTrace", "s", type: "(text: string)",
                doc: "Writes a line to the log with level trace, the policy's name and the request's number."
            ) { LogBinding.log($0, .trace) },
            LuaBinding(
                "logDebug", "s", type: "(text: string)",
                doc: "Writes a line to the log with level debug, the policy's name and the request's number."
            ) { LogBinding.log($0, .debug) },
            LuaBinding(
                "logInfo", "s", type: "(text: string)",
                doc: "Writes a line to the log with level info, the policy's name and the request's number."
            ) { LogBinding.log($0, .info) },
            LuaBinding(
                "logWarn", "s", type: "(text: string)",
                doc: "Writes a line to the log with level warning, the policy's name and the request's number."
            ) { LogBinding.log($0, .warning) },
            LuaBinding(
                "logErr", "s", type: "(text: string)",
                doc: "Writes a line to the log with level error, the policy's name and the request's number."
            ) { LogBinding.log($0, .error) },
            LuaBinding(
                "logCritical", "s", type: "(text: string)",
                doc: "Writes a line to the log with level critical, the policy's name and the request's number."
            ) { LogBinding.log($0, .critical) },
        ]
    }

    private static func log(_ call: BindingCall, _ level: Logger.Level) -> mg_action {
        call.engine?.log(level, call.bytes(0), of: call.run)
        return MG_RETURN
    }
}
