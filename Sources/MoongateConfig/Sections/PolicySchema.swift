extension ValueType<PolicySettings> {
    static var policySettings: ValueType {
        .mapping(
            MappingSchema(
                name: "policy settings",
                summary: "Where policies are found and what they may use.",
                initial: PolicySettings(),
                fields: [
                    Field(
                        "path", \.path, .list(of: .path, identity: { $0 }),
                        "Folders that are searched in order, before the policies that ship."),
                    Field(
                        "time_limit", \.timeLimit, .duration(.milliseconds(1) ... .seconds(60)),
                        "CPU time that one run of a hook may use; waiting does not count. A script that uses more is"
                            + " stopped."),
                    Field(
                        "memory_limit", \.memoryLimit, .size((1 << 20)...(64 << 30)),
                        "Memory that all policies of one worker may hold."),
                    Field(
                        "metric_series", \.metricSeries, .integer(1...1_000_000),
                        "Series that one metric of a policy may have. What comes beyond is counted in a series whose labels"
                            + " are all `_overflow`."),
                ]))
    }
}

extension ValueType<PolicyReference> {
    /// `name`, `name: {settings}`, or the full form with `policy`, `on_error` and `settings`.
    static var policyReference: ValueType {
        let name = ValueType<String>.text(NameSyntax.policy, expected: "the name of a policy") {
            text, decoding throws(SyntaxFault) in try NameSyntax.parsePolicy(text, folder: decoding.folder)
        }
        let full = fullForm(name)
        let shape: Shape = .either([name.shape, .singleton(of: .anyMapping, keys: NameSyntax.policy), full.shape])
        return ValueType(shape) { node, decoding in
            guard case .mapping(let entries) = node.content else {
                if case .list = node.content {
                    decoding.reportMismatch(node, expected: "a policy")
                    return nil
                }
                return name.read(node, &decoding).map { PolicyReference(name: $0, location: node.location) }
            }
            if entries.contains(where: { $0.key == "policy" }) { return full.read(node, &decoding) }
            guard let entry = entries.first, entries.count == 1 else {
                decoding.report(
                    node.location, "expected one policy, found a mapping with \(entries.count) keys",
                    hint: "write name: {settings}, or {policy: name, on_error: continue, settings: {…}}")
                return nil
            }
            let key = YAMLNode(
                location: entry.keyLocation, content: .scalar(YAMLScalar(text: entry.key, isPlain: false)))
            guard let policy = name.read(key, &decoding) else { return nil }
            // "name:" with nothing behind it is the policy without settings.
            let settings =
                entry.value.isNull ? .table([]) : ValueType<SettingValue>.settings.read(entry.value, &decoding)
            return settings.map { PolicyReference(name: policy, settings: $0, location: entry.keyLocation) }
        }
    }

    private static func fullForm(_ name: ValueType<String>) -> ValueType {
        .mapping(
            MappingSchema(
                name: "policy",
                summary: "The use of a policy. In short: `strip-port` for a policy without settings, and"
                    + " `header-auth: {users: users.yaml}` for one with settings.",
                initial: PolicyReference(name: ""),
                fields: [
                    Field(
                        "policy", \.name, name, required: true,
                        "A name that is looked for in the policy path, or the path of a file that ends in `.lua`."),
                    Field(
                        "on_error", \.onError, .choice(),
                        "What a script error does: `deny` ends the request with `INTERNAL` (gRPC) or 500, `continue` lets"
                            + " it go on as if the hook had returned."),
                    Field("settings", \.settings, .settings, "Handed to the policy's hooks as `config`."),
                ])
        ) { draft, mapping, _ in
            var reference = draft
            reference.location = mapping.value(of: "policy")?.location ?? mapping.location
            return reference
        }
    }
}

extension ValueType<SettingValue> {
    /// A mapping whose meaning only the policy knows, order kept.
    static var settings: ValueType {
        ValueType(.anyMapping, write: { $0 == .table([]) ? "{}" : nil }) { node, decoding in
            guard case .mapping = node.content else {
                decoding.reportMismatch(node, expected: "a mapping with the policy's settings")
                return nil
            }
            return SettingValue(node, &decoding)
        }
    }
}

extension SettingValue {
    /// A value of any shape; `nil` if it is faulty, after at least one report.
    init?(_ node: YAMLNode, _ decoding: inout Decoding) {
        switch node.content {
        case .list(let nodes):
            self = .list(nodes.compactMap { SettingValue($0, &decoding) })
        case .mapping(let entries):
            self = .table(
                entries.compactMap { entry in
                    SettingValue(entry.value, &decoding).map { SettingValue.Entry(key: entry.key, value: $0) }
                })
        case .scalar(let scalar):
            switch scalar.value {
            case .null: self = .null
            case .bool(let value): self = .bool(value)
            case .integer(let value): self = .integer(value)
            case .number(let value) where !value.isNaN: self = .number(value)
            case .text: self = .string(scalar.text)
            case .number, .hugeInteger:
                decoding.report(
                    node.location, "\(shortened(scalar.text)) cannot be held as a number",
                    hint: "put quotation marks around it to make it text")
                return nil
            }
        }
    }
}
