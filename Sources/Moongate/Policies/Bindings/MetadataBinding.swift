import CMoongate
import MoongateConfig
import MoongateLua

/// Values of the configuration as scripts written for Envoy read them: `handle:metadata()`, `route():metadata()`,
/// `virtualHost():metadata()` and `handle:filterContext()`.
enum MetadataBinding {
    /// Where Envoy keeps metadata for Lua filters of any name.
    private static let anyPolicy = "envoy.filters.http.lua"

    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.metadata, name: "metadata",
            summary: """
                Values of the configuration. Metadata of routes and listeners are those under the name of the \
                policy, else those under `envoy.filters.http.lua`, else none.
                """, bindings: bindings, iterate: step)
    }

    private static var bindings: [LuaBinding] {
        [LuaBinding("get", "s", type: "(key: string): any", doc: "The value; nil if there is none.", get)]
    }

    private static let get: mg_leaf = { call in
        let key = call.bytes(0)
        for entry in entries(call) where entry.key.utf8.elementsEqual(key.buffer) {
            return call.give(LuaValue(entry.value))
        }
        call.giveNil()
        return MG_RETURN
    }

    static let step: mg_leaf = { call in
        let entries = entries(call)
        let position = Int(call.pointee.position)
        guard position < entries.count else { return MG_RETURN }
        call.pointee.position += 1
        let manager = LuaTextKeeper()
        let isComplete =
            LuaValue.string(entries[position].key).write(to: call.pointee.output, keeping: manager)
            && LuaValue(entries[position].value).write(to: call.pointee.output, keeping: manager)
        guard isComplete else { return call.fail("the settings are too large") }
        call.engine?.manager = manager
        return MG_RETURN
    }

    private static func entries(_ call: BindingCall) -> [SettingValue.Entry] {
        guard let map = call.native(as: PolicyMetadataMap.self), let run = map.pointee.run else {
            return []
        }
        let instance = run.use
        switch map.pointee.source {
        case .context: return (run.route?.filterContext ?? instance.settings).entries
        case .route: return space(run.route?.metadata, of: instance.name)
        case .listener: return space(run.listener?.metadata, of: instance.name)
        }
    }

    private static func space(_ metadata: [SettingValue.Entry]?, of name: String) -> [SettingValue.Entry] {
        let found = metadata?.first { $0.key == name } ?? metadata?.first { $0.key == anyPolicy }
        return found?.value.entries ?? []
    }
}
