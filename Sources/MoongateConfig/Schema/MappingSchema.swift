/// A mapping with known keys, described once: reading, the JSON schema and the reference all follow from it.
///
/// A `Draft` starts with every default and gets what the file says, key by key. Its type is the configuration value
/// itself, or a small struct where several keys make one value.
struct MappingSchema<Draft> {
    let name: String
    /// Whether unknown keys are not told, since a secret may stand where a key belongs.
    var hidesKeys = false
    let summary: String
    let initial: Draft
    var alternatives: [Alternatives] = []
    let fields: [Field<Draft>]

    var shape: MappingShape {
        MappingShape(
            name: name, summary: summary, fields: fields.map { $0.shape(initial: initial) },
            alternatives: alternatives)
    }

    /// Reads what stands in the mapping and reports every fault; `nil` if it is no mapping.
    func read(_ node: YAMLNode, _ decoding: inout Decoding) -> (Draft, YAMLMapping)? {
        guard case .mapping(let entries) = node.content else {
            let keys = fields.prefix(4).map(\.key).joined(separator: ", ")
            decoding.reportMismatch(node, expected: "a mapping (\(name))", hint: "its keys: \(keys)")
            return nil
        }
        let mapping = YAMLMapping(location: node.location, entries: entries)
        var draft = initial
        for entry in entries {
            guard let field = fields.first(where: { $0.key == entry.key }) else {
                reportUnknown(entry, &decoding)
                continue
            }
            field.read(entry.value, &draft, &decoding)
        }
        for field in fields where field.isRequired && !mapping.has(field.key) {
            decoding.report(node.location, "\(name) without \(quoted(field.key))", hint: field.summary)
        }
        for alternative in alternatives { check(alternative, mapping, &decoding) }
        return (draft, mapping)
    }

    private func reportUnknown(_ entry: YAMLEntry, _ decoding: inout Decoding) {
        let known = fields.map(\.key)
        let hint =
            Spelling.suggestion(for: entry.key, among: known) ?? "the keys are \(known.joined(separator: ", "))"
        let key = hidesKeys ? "unknown key" : "unknown key \(quoted(entry.key))"
        decoding.report(entry.keyLocation, "\(key) in \(name)", hint: hint)
    }

    private func check(_ alternative: Alternatives, _ mapping: YAMLMapping, _ decoding: inout Decoding) {
        let used = alternative.groups.compactMap { group in group.first { mapping.has($0) } }
        if let first = used.first {
            for other in used.dropFirst() {
                let hint = "keep one of them"
                decoding.report(
                    mapping.location(of: other), "\(quoted(first)) and \(quoted(other)) exclude each other", hint: hint)
            }
        } else if alternative.isRequired {
            let list = alternative.groups.map { group in group.map(quoted).joined(separator: " with ") }
            decoding.report(mapping.location, "\(name) without \(list.joined(separator: " or "))")
        }
    }
}

/// One key of a mapping.
struct Field<Draft> {
    let key: String
    let summary: String
    let isRequired: Bool
    let read: (YAMLNode, inout Draft, inout Decoding) -> Void
    private let valueShape: Shape
    private let defaultText: (Draft) -> String?

    /// A key whose default is what the draft starts with.
    init<Value>(
        _ key: String, _ path: WritableKeyPath<Draft, Value>, _ type: ValueType<Value>, required: Bool = false,
        _ summary: String
    ) {
        self.key = key
        self.summary = summary
        isRequired = required
        valueShape = type.shape
        defaultText = { required ? nil : type.write($0[keyPath: path]) }
        read = { node, draft, decoding in
            if let value = type.read(node, &decoding) { draft[keyPath: path] = value }
        }
    }

    /// A key that may be absent.
    ///
    /// - Parameter absent: what its absence means, in words.
    init<Value>(
        _ key: String, _ path: WritableKeyPath<Draft, Value?>, _ type: ValueType<Value>, absent: String? = nil,
        _ summary: String
    ) {
        self.key = key
        self.summary = summary
        isRequired = false
        valueShape = type.shape
        defaultText = { _ in absent }
        read = { node, draft, decoding in
            if let value = type.read(node, &decoding) { draft[keyPath: path] = value }
        }
    }

    func shape(initial: Draft) -> FieldShape {
        FieldShape(
            key: key, summary: summary, shape: valueShape, isRequired: isRequired,
            defaultText: defaultText(initial))
    }
}

extension ValueType {
    /// A mapping, read into a draft that `finish` turns into the value.
    static func mapping<Draft>(
        _ schema: MappingSchema<Draft>, finish: @escaping (Draft, YAMLMapping, inout Decoding) -> Value?
    ) -> ValueType {
        ValueType(.mapping(schema.shape)) { node, decoding in
            guard let (draft, mapping) = schema.read(node, &decoding) else { return nil }
            return finish(draft, mapping, &decoding)
        }
    }

    /// A mapping whose draft is the value.
    static func mapping(_ schema: MappingSchema<Value>) -> ValueType {
        mapping(schema) { draft, _, _ in draft }
    }
}
