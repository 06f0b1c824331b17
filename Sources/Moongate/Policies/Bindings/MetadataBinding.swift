import CMoongate
import MoongateConfig
import MoongateLua

/// `handle:metadata()` and `handle:filterContext()`: the settings of the policy, as scripts written for Envoy read
/// theirs. `handle:config()` is the plain table.
enum MetadataBinding {
    static var definition: PolicyClass {
        PolicyClass(
            number: PolicyClasses.metadata, name: "metadata",
            summary: "The settings of the policy, as scripts written for Envoy read theirs.", bindings: bindings,
            iterate: step)
    }

    private static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "get", "s", type: "(key: string): any",
                doc: "The setting; nil if there is none.", get)
        ]
    }

    private static let get: mg_leaf = { call in
        let key = call.bytes(0).string
        guard let entry = settings(call).first(where: { $0.key == key }) else {
            call.giveNil()
            return MG_RETURN
        }
        return call.give(LuaValue(entry.value))
    }

    static let step: mg_leaf = { call in
        let entries = settings(call)
        let position = Int(call.pointee.position)
        guard position < entries.count else { return MG_RETURN }
        call.pointee.position += 1
        let keeper = LuaTextKeeper()
        let isComplete =
            LuaValue.string(entries[position].key).write(to: call.pointee.output, keeping: keeper)
            && LuaValue(entries[position].value).write(to: call.pointee.output, keeping: keeper)
        guard isComplete else { return call.fail("the settings are too large") }
        call.host?.keeper = keeper
        return MG_RETURN
    }

    private static func settings(_ call: BindingCall) -> [SettingValue.Entry] {
        guard let run = call.run, let host = call.host,
            case .table(let entries) = host.program.instances[Int(run.pointer.pointee.current)].settings
        else { return [] }
        return entries
    }
}
