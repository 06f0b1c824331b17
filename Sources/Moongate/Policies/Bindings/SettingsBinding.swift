import CMoongate
import MoongateLua

/// `moon.settings`: what every policy does first with its settings.
enum SettingsBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "settings", "tt", type: "(config: table, schema: table): table",
                doc: """
                    Checks settings in `on_init` and gives them with defaults filled in. `schema` has for each setting a type, or \
                    `{type, required = true, default = …, min = …, max = …, values = {…}, of = …, fields = {…}}`; types are \
                    `string`, `number`, `integer`, `boolean`, `duration` (given as seconds), `size` (as bytes), `list` and `map` \
                    (`of` is the type inside; `single = true` takes a value for a list of one), `table` (with `fields`) and `any`. \
                    What does not fit refuses the configuration with a message that names the setting.
                    """, settings)
        ]
    }

    private static let settings: mg_leaf = { call in
        let schema = SettingsSchema(output: call.pointee.output)
        do throws(SettingsSchema.Fault) {
            try schema.check(table: TapeView(argument: 0, of: call), TapeView(argument: 1, of: call), path: "")
            return MG_RETURN
        } catch {
            call.pointee.output.pointee.count = 0
            switch error {
            case .description(let message): return call.fail(message)
            case .settings(let message):
                _ = call.fail(message)
                return MG_REFUSE
            }
        }
    }
}
