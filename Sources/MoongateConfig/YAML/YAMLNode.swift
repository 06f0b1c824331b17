/// A YAML value with the place where it stands. Aliases and merge keys are resolved.
struct YAMLNode: Sendable {
    indirect enum Content: Sendable {
        case scalar(YAMLScalar)
        case list([YAMLNode])
        case mapping([YAMLEntry])
    }

    var location: SourceLocation
    var content: Content

    var isNull: Bool {
        guard case .scalar(let scalar) = content else { return false }
        return scalar.value == .null
    }

    /// The kind of the value, for messages: `a list`, `a text`, `nothing`.
    var kind: String {
        switch content {
        case .list: "a list"
        case .mapping: "a mapping"
        case .scalar(let scalar): scalar.kind
        }
    }
}

/// One key of a mapping with its value.
struct YAMLEntry: Sendable {
    var key: String
    var keyLocation: SourceLocation
    var value: YAMLNode
}

/// The keys of one mapping as they stand in the file, for rules that concern several of them.
struct YAMLMapping: Sendable {
    var location: SourceLocation
    var entries: [YAMLEntry]

    func has(_ key: String) -> Bool { entries.contains { $0.key == key } }

    /// Where the key stands; the start of the mapping if it does not have the key.
    func location(of key: String) -> SourceLocation {
        entries.first { $0.key == key }?.keyLocation ?? location
    }

    func value(of key: String) -> YAMLNode? { entries.first { $0.key == key }?.value }
}
