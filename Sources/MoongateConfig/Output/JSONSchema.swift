/// Writes the JSON Schema (draft 7) of the configuration file, which editors use for completion and checking.
struct JSONSchema {
    private var definitions: [(key: String, value: JSONValue)] = []

    static func text(of shape: Shape) -> String {
        var schema = JSONSchema()
        let root = schema.value(of: shape)
        let document: JSONValue = .object([
            ("$schema", .string("http://json-schema.org/draft-07/schema#")),
            ("title", .string("moongate.yaml")),
            ("allOf", .array([root])),
            ("definitions", .object(schema.definitions)),
        ])
        return document.text() + "\n"
    }

    private mutating func value(of shape: Shape) -> JSONValue {
        switch shape {
        case .alwaysTrue: return .object([("const", .bool(true))])
        case .integer(let range):
            return typed(
                "integer", ("minimum", .integer(range.lowerBound)), ("maximum", .integer(range.upperBound)))
        case .text(let text): return value(of: text)
        case .choice(let words): return choice(words)
        case .list(let element, let count):
            let items = value(of: element)
            return typed("array", ("items", items), ("minItems", .integer(count)))
        case .dictionary(let element, let keys):
            return typed(
                "object", ("propertyNames", value(of: keys)), ("additionalProperties", value(of: element)))
        case .singleton(let element, let keys):
            let nothing = typed("null")
            return typed(
                "object", ("minProperties", .integer(1)), ("maxProperties", .integer(1)),
                ("propertyNames", value(of: keys)),
                ("additionalProperties", .object([("anyOf", .array([value(of: element), nothing]))])))
        case .anyMapping: return typed("object")
        case .either(let shapes): return .object([("anyOf", .array(shapes.map { value(of: $0) }))])
        case .mapping(let mapping): return reference(to: mapping)
        }
    }

    private func typed(_ name: String, _ more: (key: String, value: JSONValue)...) -> JSONValue {
        .object([("type", .string(name))] + more)
    }

    private func value(of text: TextShape) -> JSONValue {
        if text.takesAnyScalar {
            return .object([("type", .array(["string", "number", "boolean"].map(JSONValue.string)))])
        }
        // Plain digits are a size, but a number to JSON.
        if text.name == SizeSyntax.shape.name {
            let number = typed("integer", ("minimum", .integer(0)))
            return .object([("anyOf", .array([number, pattern(text)]))])
        }
        return pattern(text)
    }

    private func pattern(_ text: TextShape) -> JSONValue {
        guard let pattern = text.pattern else { return typed("string") }
        return typed("string", ("pattern", .string(pattern)))
    }

    /// Words such as `1.2` are numbers to JSON unless they are quoted: both are taken.
    private func choice(_ words: [String]) -> JSONValue {
        let strings: JSONValue = .object([("enum", .array(words.map(JSONValue.string)))])
        guard words.contains(where: { Double($0) != nil }) else { return strings }
        return .object([("anyOf", .array([strings, .object([("enum", .array(words.map(JSONValue.literal)))])]))])
    }

    private mutating func reference(to mapping: MappingShape) -> JSONValue {
        let name = mapping.name.replacing(" ", with: "-")
        let reference: JSONValue = .object([("$ref", .string("#/definitions/\(name)"))])
        if definitions.contains(where: { $0.key == name }) { return reference }
        // Keeps the place, so that definitions stand in the order of the file.
        let index = definitions.count
        definitions.append((name, .object([])))
        definitions[index].value = definition(of: mapping)
        return reference
    }

    private mutating func definition(of mapping: MappingShape) -> JSONValue {
        var properties: [(key: String, value: JSONValue)] = []
        for field in mapping.fields {
            let note = field.defaultText.map { " Default: \($0)." } ?? ""
            let description: JSONValue = .string(field.summary + note)
            // Draft 7 ignores what stands beside a $ref, so the description wraps it.
            properties.append(
                (field.key, .object([("description", description), ("allOf", .array([value(of: field.shape)]))])))
        }
        var members: [(key: String, value: JSONValue)] = [
            ("description", .string(mapping.summary)), ("type", .string("object")),
            ("additionalProperties", .bool(false)), ("properties", .object(properties)),
        ]
        let required = mapping.fields.filter(\.isRequired).map { JSONValue.string($0.key) }
        if !required.isEmpty { members.append(("required", .array(required))) }
        let rules = mapping.alternatives.flatMap(rules)
        if !rules.isEmpty { members.append(("allOf", .array(rules))) }
        return .object(members)
    }

    private func rules(of alternatives: Alternatives) -> [JSONValue] {
        var rules: [JSONValue] = []
        let groups = alternatives.groups
        for (index, group) in groups.enumerated() {
            for key in group {
                for other in groups[(index + 1)...].joined() {
                    rules.append(.object([("not", required([key, other]))]))
                }
            }
        }
        if alternatives.isRequired {
            rules.append(.object([("anyOf", .array(groups.joined().map { required([$0]) }))]))
        }
        return rules
    }

    private func required(_ keys: [String]) -> JSONValue {
        .object([("required", .array(keys.map(JSONValue.string)))])
    }
}
