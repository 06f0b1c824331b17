extension ValueType<PolicySettings> {
    static var policySettings: ValueType {
        .mapping(
            MappingSchema(
                name: "policy settings",
                summary: "Where policies are found and what they may use.",
                initial: PolicySettings(),
                fields: [Field<PolicySettings>].whereAndHowMuch + .counted)
        ) { settings, mapping, decoding in
            if let limit = settings.policyMemoryLimit, limit > settings.memoryLimit / 2 {
                decoding.report(
                    mapping.location(of: "policy_memory_limit"),
                    "policy_memory_limit is more than half of memory_limit",
                    hint: "one policy must not be able to fill what all share")
            }
            return settings
        }
    }
}

// In two lists: the compiler takes too long over one.
extension [Field<PolicySettings>] {
    fileprivate static var whereAndHowMuch: Self {
        [
            Field(
                "path", \.path, .list(of: .path, identity: { $0 }),
                "Folders that are searched in order, before the policies that ship."),
            Field(
                "time_limit", \.timeLimit, .duration(.milliseconds(1) ... .seconds(60)),
                "CPU time that one run of a hook may use; waiting does not count. A script that uses more is"
                    + " stopped."),
            Field(
                "load_time_limit", \.loadTimeLimit, .duration(.milliseconds(1) ... .seconds(600)),
                "CPU time that a policy may use while its file is loaded, and again in `on_init`, on each worker. One that"
                    + " uses more refuses the start or the reload."),
            Field(
                "memory_limit", \.memoryLimit, .size((1 << 20)...(64 << 30)),
                "Memory that all policies of one worker may hold. When it is full, the run that asks for more fails."),
            Field(
                "body_limit", \.bodyLimit, .size(1...(1 << 30)),
                "The largest body that a hook may hold as a whole, with `handle:body()`. A larger request is"
                    + " answered with 413, a larger response replaced by 500; gRPC gets `RESOURCE_EXHAUSTED`."),
            Field(
                "message_limit", \.messageLimit, .size(1...(1 << 30)),
                "The largest gRPC message that a hook may be given, with `handle:grpcMessages()` or"
                    + " `on_grpc_message`. A larger one ends the call with `RESOURCE_EXHAUSTED`. gRPC servers and clients"
                    + " take 4 MiB unless they are told otherwise."),
            Field(
                "policy_memory_limit", \.policyMemoryLimit, .policyMemory,
                absent: "a quarter of `memory_limit`",
                "Memory that one policy may hold on one worker, its globals and modules included. A run that asks for"
                    + " more fails, and a policy that keeps too much gets a new script engine; all others go on."),
            Field(
                "env", \.env, .list(of: .environmentVariable, identity: { $0 }),
                "Environment variables that policies may read with `os.getenv`, which gives `nil` for all others."
            ),
        ]
    }

    fileprivate static var counted: Self {
        [
            Field(
                "metric_series", \.metricSeries, .integer(1...1_000_000),
                "Series that one metric of a policy may have. What comes beyond is counted in a series whose labels"
                    + " are all `_overflow`."),
            Field(
                "call_limit", \.callLimit, .size(0...(16 << 20)),
                "Bytes that the answer to a policy's call (`httpCall`, `moon.http`, `moon.grpc`) may have; a longer one"
                    + " counts as failed."),
            Field(
                "calls_per_request", \.callsPerRequest, .integer(1...1000),
                "Calls that the policies of one request may have under way. One more is a script error."),
            Field(
                "calls_per_worker", \.callsPerWorker, .integer(1...1_000_000),
                "Calls that all policies of one worker may have under way. One more fails at once."),
        ]
    }
}

extension ValueType<Int> {
    /// Enough for a file with its copy of the library, at least.
    fileprivate static var policyMemory: ValueType { .size((256 << 10)...(16 << 30)) }
}

extension ValueType<String> {
    fileprivate static var environmentVariable: ValueType {
        let shape = TextShape(name: "environment variable", pattern: "^[A-Za-z_][A-Za-z0-9_]*$").shown
        return .text(shape, expected: "the name of an environment variable") { text, _ throws(SyntaxFault) in
            let isName = text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
            guard isName, let first = text.utf8.first, !(0x30...0x39).contains(first) else {
                throw SyntaxFault(
                    "\(quoted(text)) is no environment variable", hint: "letters, digits and _, such as REGION")
            }
            return text
        }
    }
}

/// A policy in the list of a listener or route.
struct PolicyEntry {
    var reference: PolicyReference
    /// Not to be run: it names one of the listener's.
    var isDisabled = false
}

extension ValueType<PolicyReference> {
    /// A listener's.
    static var policyReference: ValueType {
        ValueType<PolicyEntry>.policyEntry.map { entry, node, decoding in
            guard entry.isDisabled else { return entry.reference }
            decoding.report(
                node.location, "a listener's policy is switched off on routes",
                hint: "write it into the policies of a route, or remove it here")
            return nil
        }
    }
}

extension ValueType<PolicyEntry> {
    /// `name`, `name: {settings}`, or the full form with `policy` or `lua`.
    static var policyEntry: ValueType {
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
                return name.read(node, &decoding).map {
                    PolicyEntry(reference: PolicyReference(name: $0, location: node.location))
                }
            }
            if entries.contains(where: isOfFullForm) { return full.read(node, &decoding) }
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
            return settings.map {
                PolicyEntry(reference: PolicyReference(name: policy, settings: $0, location: entry.keyLocation))
            }
        }
    }

    /// A key that only the full form has. `lua: {…}` is a policy called lua with settings.
    private static func isOfFullForm(_ entry: YAMLEntry) -> Bool {
        guard entry.key == "lua", case .scalar = entry.value.content, !entry.value.isNull else {
            return entry.key == "policy"
        }
        return true
    }
}

/// The keys of a policy's full form as they stand in the file.
private struct PolicyDraft {
    var policy = ""
    var source: PolicyReference.Source?
    var name: String?
    var isDisabled = false
    var onError = PolicyReference.OnError.deny
    var timeLimit: Duration?
    var loadTimeLimit: Duration?
    var memoryLimit: Int?
    var settings = SettingValue.table([])
}

extension ValueType<PolicyEntry> {
    private static func fullForm(_ name: ValueType<String>) -> ValueType {
        .mapping(
            MappingSchema(
                name: "policy",
                summary: "The use of a policy. In short: `strip-port` for a policy without settings, and"
                    + " `header-auth: {users: users.yaml}` for one with settings.",
                initial: PolicyDraft(),
                alternatives: [.exactlyOne(["policy"], ["lua"]), .atMostOne(["lua"], ["disabled"])],
                fields: [
                    Field(
                        "policy", \.policy, name.withoutDefault,
                        "A name that is looked for in the policy path, or the path of a file that ends in `.lua`."),
                    Field(
                        "lua", \.source, .source, absent: "a file",
                        "The policy itself, as a text of several lines behind `lua: |`. It needs a `name`."),
                    Field(
                        "name", \.name, .name, absent: "the policy's name",
                        "What logs, metrics, metadata and routes that switch it off call this use of the policy."),
                    Field(
                        "disabled", \.isDisabled, .disabled,
                        "On a route: the listener's policy of this name does not run on the route's requests."),
                    Field(
                        "on_error", \.onError, .choice(),
                        "What a script error does: `deny` ends the request with `INTERNAL` (gRPC) or 500, `continue` lets"
                            + " it go on as if the hook had returned."),
                    Field(
                        "time_limit", \.timeLimit, .duration(.milliseconds(1) ... .seconds(60)),
                        absent: "`policies.time_limit`", "CPU time that one run of a hook of this policy may use."),
                    Field(
                        "load_time_limit", \.loadTimeLimit, .duration(.milliseconds(1) ... .seconds(600)),
                        absent: "`policies.load_time_limit`",
                        "CPU time that this policy may use while it is loaded, and in `on_init`."),
                    Field(
                        "memory_limit", \.memoryLimit, .policyMemory, absent: "`policies.policy_memory_limit`",
                        "Memory that the policy may hold on one worker. Uses of a file that differ in this have globals"
                            + " of their own; at most half of `policies.memory_limit`."),
                    Field("settings", \.settings, .settings, "Handed to the policy's hooks as `config`."),
                ]), finish: finish)
    }

    private static func finish(
        _ draft: PolicyDraft, _ mapping: YAMLMapping, _ decoding: inout Decoding
    ) -> PolicyEntry? {
        if mapping.has("lua") && !mapping.has("name") {
            decoding.report(
                mapping.location(of: "lua"), "a policy with \(quoted("lua")) needs a \(quoted("name"))",
                hint: "add name: …, which logs and metrics will show")
            return nil
        }
        if draft.isDisabled, let other = mapping.entries.first(where: { $0.key != "policy" && $0.key != "disabled" }) {
            decoding.report(
                other.keyLocation, "a policy that is disabled has no \(quoted(other.key))",
                hint: "write {policy: name, disabled: true}")
        }
        let place = mapping.value(of: "policy")?.location ?? mapping.value(of: "lua")?.location ?? mapping.location
        let reference = PolicyReference(
            name: draft.source == nil ? draft.policy : draft.name ?? "", label: draft.name, source: draft.source,
            settings: draft.settings, onError: draft.onError, timeLimit: draft.timeLimit,
            loadTimeLimit: draft.loadTimeLimit, memoryLimit: draft.memoryLimit, location: place)
        return PolicyEntry(reference: reference, isDisabled: draft.isDisabled)
    }
}

extension ValueType<String> {
    fileprivate var withoutDefault: ValueType { ValueType(shape, read: read) }
}

extension ValueType<Bool> {
    fileprivate static var disabled: ValueType {
        ValueType<Void>.alwaysTrue(insteadOfFalse: "remove the key").map { _, _, _ in true }
    }
}

extension ValueType<PolicyReference.Source> {
    fileprivate static var source: ValueType {
        let text = ValueType<String>.text(TextShape(name: "Lua source"), expected: "the source of a policy") {
            text, _ throws(SyntaxFault) in
            guard !text.isEmpty else { throw SyntaxFault.plain("the source is empty", hint: "write it behind lua: |") }
            return text
        }
        return text.map { text, node, _ in
            // A text of several lines begins in the line behind `|`.
            .init(text: text, line: node.location.line + (text.contains("\n") ? 1 : 0))
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

extension ValueType<[SettingValue.Entry]> {
    private static var namespaces: TextShape { TextShape(name: "namespace") }

    /// Values by namespace and key.
    static var metadata: ValueType {
        ValueType(.dictionary(of: .anyMapping, keys: namespaces), write: { $0.isEmpty ? "{}" : nil }) {
            node, decoding in
            guard case .mapping(let spaces) = node.content else {
                decoding.reportMismatch(
                    node, expected: "a mapping from namespaces to values",
                    hint: "write namespace: {key: value}; the namespace is the name of a policy, or"
                        + " envoy.filters.http.lua for all of them")
                return nil
            }
            return spaces.compactMap { space in
                guard case .mapping = space.value.content else {
                    decoding.reportMismatch(
                        space.value, expected: "a mapping with the values of namespace \(quoted(space.key))")
                    return nil
                }
                return SettingValue(space.value, &decoding).map { SettingValue.Entry(key: space.key, value: $0) }
            }
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
                    node.location, "the value cannot be held as a number",
                    hint: "put quotation marks around it to make it text")
                return nil
            }
        }
    }
}
