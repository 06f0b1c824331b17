import CMoongate
import Logging
import MoongateLua

/// `moon.log`: lines with fields of their own.
enum MoonLogBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "log.debug", "st?", type: "(text: string, fields?: table<string, string|number|boolean>)",
                doc: "Writes a line to the log, as `moon.log.info` does, at level `debug`.",
                { MoonLogBinding.log($0, .debug) }),
            LuaBinding(
                "log.info", "st?", type: "(text: string, fields?: table<string, string|number|boolean>)",
                doc: """
                    Writes a line to the log, with the policy's name, the request's number and these fields beside the text: \
                    at most 16, texts up to 1 KiB (longer ones are cut), names of up to 64 letters, digits and `_.-`. \
                    `time`, `level`, `logger`, `message`, `policy` and `request` are the log's own names.
                    """, { MoonLogBinding.log($0, .info) }),
            LuaBinding(
                "log.warn", "st?", type: "(text: string, fields?: table<string, string|number|boolean>)",
                doc: "Writes a line to the log, as `moon.log.info` does, at level `warning`.",
                { MoonLogBinding.log($0, .warning) }),
            LuaBinding(
                "log.error", "st?", type: "(text: string, fields?: table<string, string|number|boolean>)",
                doc: "Writes a line to the log, as `moon.log.info` does, at level `error`.",
                { MoonLogBinding.log($0, .error) }),
        ]
    }

    private static let mostFields = 16
    private static let longestName = 64
    private static let longestText = 1024
    private static let reserved: Set<String> = ["time", "level", "logger", "message", "policy", "request"]

    private static func log(_ call: BindingCall, _ level: Logger.Level) -> mg_action {
        guard let engine = call.engine else { return MG_RETURN }
        var fields: Logger.Metadata = [:]
        for entry in TapeView(argument: 1, of: call).entries {
            guard let name = entry.key.bytes, isName(name), !reserved.contains(name.string) else {
                return call.fail(
                    "moon.log: a name cannot be the name of a field: letters, digits and '_', and none of the log's own"
                )
            }
            guard let value = metadata(entry.value) else {
                return call.fail("moon.log: the value of a field must be a text, a number or a boolean")
            }
            fields[name.string] = value
        }
        guard fields.count <= mostFields else { return call.fail("moon.log: more than \(mostFields) fields") }
        engine.log(level, call.bytes(0), of: call.run, fields: fields)
        return MG_RETURN
    }

    private static func isName(_ name: Bytes) -> Bool {
        (1...longestName).contains(name.count)
            && name.buffer.allSatisfy { byte in
                byte.asciiLowercased &- 0x61 < 26 || byte &- 0x30 < 10 || "_.-".utf8.contains(byte)
            }
    }

    private static func metadata(_ value: TapeView) -> Logger.MetadataValue? {
        if let integer = value.integer { return .stringConvertible(integer) }
        if let number = value.number { return .stringConvertible(number) }
        if let bool = value.bool { return .stringConvertible(bool) }
        guard let text = value.bytes else { return nil }
        return .string(text.count > longestText ? text[0..<longestText].string + "…" : text.string)
    }
}
