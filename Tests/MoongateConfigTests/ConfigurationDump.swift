@testable import MoongateConfig

/// Every member of a value, one per line, nested ones indented. What has its default by type (`nil`, an empty list)
/// is left out, so that cases show what they are about.
func dump(of value: Any) -> String {
    lines(of: value).map { $0 + "\n" }.joined()
}

private func lines(of value: Any) -> [String] {
    Mirror(reflecting: value).children.flatMap { child -> [String] in
        guard let label = child.label, let shown = shown(child.value) else { return [] }
        if let text = plain(shown) { return ["\(label): \(text)"] }
        let inner = nested(shown)
        return inner.isEmpty ? [] : ["\(label):"] + inner.map { "  " + $0 }
    }
}

private func nested(_ value: Any) -> [String] {
    guard Mirror(reflecting: value).displayStyle == .collection else { return lines(of: value) }
    return Mirror(reflecting: value).children.flatMap { element -> [String] in
        if let text = plain(element.value) { return ["- \(text)"] }
        let inner = lines(of: element.value)
        return inner.enumerated().map { ($0.offset == 0 ? "- " : "  ") + $0.element }
    }
}

/// Without the optional around it; `nil` stays away.
private func shown(_ value: Any) -> Any? {
    let mirror = Mirror(reflecting: value)
    return mirror.displayStyle == .optional ? mirror.children.first?.value : value
}

/// The value on one line, if it is small enough for that.
private func plain(_ value: Any) -> String? {
    switch value {
    case let text as String: return "\"\(text)\""
    case let duration as Duration: return DurationSyntax.write(duration)
    case let address as SocketAddressConfig: return "\"\(address.host)\" port \(address.port)"
    case let location as SourceLocation: return "\(location.line):\(location.column)"
    case let setting as SettingValue: return text(of: setting)
    default: break
    }
    let mirror = Mirror(reflecting: value)
    switch mirror.displayStyle {
    case .collection, .struct: return nil
    case .enum:
        guard let payload = mirror.children.first else { return "\(value)" }
        let parts = Mirror(reflecting: payload.value).children.map { "\($0.value)" }
        return "\(payload.label ?? "") \(parts.isEmpty ? "\(payload.value)" : parts.joined(separator: " "))"
    default: return "\(value)"
    }
}

private func text(of setting: SettingValue) -> String {
    switch setting {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "number \(value)"
    case .string(let value): "\"\(value)\""
    case .list(let values): "[\(values.map(text).joined(separator: ", "))]"
    case .table(let entries): "{\(entries.map { "\($0.key): \(text(of: $0.value))" }.joined(separator: ", "))}"
    }
}
