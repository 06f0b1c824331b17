/// Configuration values as JSON, with the keys that they have in the file as far as their names are the same: for people
/// who ask what is in force.
///
/// Numbers, durations, addresses and words of a fixed set are shown, and texts that the schema marks as such. In the place of
/// everything else stands what kind of value it is.
public enum SettingsView {
    /// Every setting of a route but those that say which requests it takes.
    public static func settings(of route: RouteConfig) -> [(key: String, value: JSONValue)] {
        members(
            of: route, ShownValues(ValueType<RouteConfig>.route.shape),
            leaving: ["name", "listeners", "matches", "policies", "disabledPolicies", "upstreams", "location"])
    }

    /// Every setting of an upstream but its name.
    public static func settings(of upstream: UpstreamConfig) -> [(key: String, value: JSONValue)] {
        members(of: upstream, ShownValues(ValueType<[UpstreamConfig]>.upstreams.shape), leaving: ["name"])
    }

    /// Stands in the place of a text that is not shown.
    public static let hidden = "<hidden>"

    /// Every member of a value that is not empty; `leaving`: names of members that are left out.
    private static func members(
        of value: Any, _ shown: ShownValues, leaving names: Set<String> = []
    ) -> [(key: String, value: JSONValue)] {
        Mirror(reflecting: value).children.compactMap { child in
            guard let label = child.label, !names.contains(label) else { return nil }
            let name = key(label)
            return json(child.value, shown.member(name)).map { (name, $0) }
        }
    }

    /// Names and values, one each; nested ones by dots.
    public static func lines(_ members: [(key: String, value: JSONValue)], prefix: String = "") -> [[String]] {
        members.flatMap { member -> [[String]] in
            let name = prefix + member.key
            switch member.value {
            case .object(let inner): return lines(inner, prefix: name + ".")
            case .array(let values):
                let isNested = values.contains { if case .object = $0 { true } else { false } }
                guard isNested else { return [[name, values.map(text).joined(separator: ", ")]] }
                return values.enumerated().flatMap { lines([("\(name)[\($0.offset)]", $0.element)]) }
            default: return [[name, text(member.value)]]
            }
        }
    }

    private static func text(_ value: JSONValue) -> String {
        if case .string(let text) = value { return text }
        return value.text()
    }

    /// `nil`: there is nothing to say.
    private static func json(_ value: Any, _ shown: ShownValues) -> JSONValue? {
        switch value {
        case let text as String: return text.isEmpty ? nil : .string(shown.isShown ? text : hidden)
        case let number as Int: return .integer(number)
        case let number as Double: return .literal("\(number)")
        case let flag as Bool: return .bool(flag)
        case let duration as Duration: return .string(DurationSyntax.write(duration))
        case let address as SocketAddressConfig:
            let host = address.host.contains(":") ? "[\(address.host)]" : address.host
            return .string("\(host):\(address.port)")
        case let field as HeaderEditsConfig.Field: return .object([(field.name, .string(hidden))])
        case let space as SettingValue.Entry: return .object([(space.key, .string(outline(of: space.value)))])
        case let value as SettingValue: return .string(outline(of: value))
        case is SourceLocation: return nil
        default: return compound(value, shown)
        }
    }

    /// The kind of a value. Values without a schema are never shown, and neither are their keys.
    private static func outline(of value: SettingValue) -> String {
        switch value {
        case .null: "<nothing>"
        case .bool, .integer, .number, .string: hidden
        case .list(let values): "<list of \(values.count)>"
        case .table(let entries): "<mapping of \(entries.count)>"
        }
    }

    private static func compound(_ value: Any, _ shown: ShownValues) -> JSONValue? {
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .optional: return mirror.children.first.flatMap { json($0.value, shown) }
        case .collection, .set:
            let elements = mirror.children.compactMap { json($0.value, shown) }
            return elements.isEmpty ? nil : .array(elements)
        case .enum:
            guard let payload = mirror.children.first else { return .string(key("\(value)")) }
            let name = key(payload.label ?? "")
            return json(payload.value, shown.member(name)).map { .object([(name, $0)]) } ?? .string(name)
        default:
            let members = members(of: value, shown)
            return members.isEmpty ? nil : .object(members.map { ($0.key, $0.value) })
        }
    }

    /// `idleTimeout` is `idle_timeout`, `requestID` is `request_id`.
    private static func key(_ name: String) -> String {
        var result = ""
        var wasUpper = true
        for character in name {
            if character.isUppercase && !wasUpper { result += "_" }
            wasUpper = character.isUppercase
            result += character.lowercased()
        }
        return result
    }
}
