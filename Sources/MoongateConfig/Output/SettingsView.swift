/// Configuration values as JSON, with the keys that they have in the file as far as their names are the same: for people
/// who ask what is in force.
public enum SettingsView {
    /// Every member of a value that is not empty; `leaving`: names of members that are left out.
    public static func members(of value: Any, leaving names: Set<String> = []) -> [(key: String, value: JSONValue)] {
        Mirror(reflecting: value).children.compactMap { child in
            guard let label = child.label, !names.contains(label), let value = json(child.value) else { return nil }
            return (key(label), value)
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
    private static func json(_ value: Any) -> JSONValue? {
        switch value {
        case let text as String: return text.isEmpty ? nil : .string(text)
        case let number as Int: return .integer(number)
        case let number as Double: return .literal("\(number)")
        case let flag as Bool: return .bool(flag)
        case let duration as Duration: return .string(DurationSyntax.write(duration))
        case let address as SocketAddressConfig:
            let host = address.host.contains(":") ? "[\(address.host)]" : address.host
            return .string("\(host):\(address.port)")
        case is SourceLocation: return nil
        default: return compound(value)
        }
    }

    private static func compound(_ value: Any) -> JSONValue? {
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .optional: return mirror.children.first.flatMap { json($0.value) }
        case .collection, .set:
            let elements = mirror.children.compactMap { json($0.value) }
            return elements.isEmpty ? nil : .array(elements)
        case .enum:
            guard let payload = mirror.children.first else { return .string(key("\(value)")) }
            let name = key(payload.label ?? "")
            return json(payload.value).map { .object([(name, $0)]) } ?? .string(name)
        default:
            let members = members(of: value)
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
