import CMoongate

/// A Lua value without functions, threads and objects: what crosses between scripts and the rest.
public indirect enum LuaValue: Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    /// A Lua string as bytes. From Lua only what is not UTF-8 comes as this.
    case bytes([UInt8])
    /// Values for 1…n.
    case list([LuaValue])
    /// In the order of writing; tables that come from Lua have no order.
    case table([Entry])

    public struct Entry: Sendable, Hashable {
        public var key: LuaValue
        public var value: LuaValue
        public init(_ key: LuaValue, _ value: LuaValue) {
            self.key = key
            self.value = value
        }
    }

    /// The value for a string key of a table.
    public subscript(key: String) -> LuaValue? {
        guard case .table(let entries) = self else { return nil }
        return entries.first { $0.key == .string(key) }?.value
    }

    /// The bytes of a Lua string; `nil` for other values.
    public var stringBytes: [UInt8]? {
        switch self {
        case .string(let text): Array(text.utf8)
        case .bytes(let bytes): bytes
        default: nil
        }
    }
}
