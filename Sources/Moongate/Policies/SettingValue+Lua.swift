import MoongateConfig
import MoongateLua

extension LuaValue {
    /// Settings as scripts see them.
    init(_ value: SettingValue) {
        switch value {
        case .null: self = .null
        case .bool(let bool): self = .bool(bool)
        case .integer(let integer): self = .integer(integer)
        case .number(let number): self = .number(number)
        case .string(let text): self = .string(text)
        case .list(let values): self = .list(values.map(LuaValue.init))
        case .table(let entries): self = .table(entries.map { Entry(.string($0.key), LuaValue($0.value)) })
        }
    }
}

extension LuaValue {
    /// Texts and numbers as Lua prints them.
    var text: String? {
        switch self {
        case .string(let text): text
        case .integer(let number): String(number)
        case .number(let number): Int64(exactly: number).map(String.init) ?? "\(number)"
        default: nil
        }
    }
}

extension SettingValue {
    /// A table from a script as settings; `nil` for what YAML could not say.
    init?(_ value: LuaValue) {
        switch value {
        case .null: self = .null
        case .bool(let bool): self = .bool(bool)
        case .integer(let integer): self = .integer(integer)
        case .number(let number): self = .number(number)
        case .string(let text): self = .string(text)
        case .bytes: return nil
        case .list(let values):
            let items = values.compactMap { SettingValue($0) }
            guard items.count == values.count else { return nil }
            self = .list(items)
        case .table(let entries):
            var items: [Entry] = []
            for entry in entries {
                guard let key = entry.key.text, let value = SettingValue(entry.value) else { return nil }
                items.append(Entry(key: key, value: value))
            }
            self = .table(items.sorted { $0.key < $1.key })
        }
    }
}
