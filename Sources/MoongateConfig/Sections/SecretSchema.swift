extension ValueType<[SecretConfig]> {
    /// The mapping from names to secrets.
    static var secrets: ValueType {
        .dictionary(
            of: .secret, keys: NameSyntax.name,
            each: { entry, decoding in
                let key = YAMLNode(
                    location: entry.keyLocation, content: .scalar(YAMLScalar(text: entry.key, isPlain: false)))
                return ValueType<String>.name.read(key, &decoding) != nil
            },
            name: { secret, name in secret.name = name })
    }
}

extension ValueType<SecretConfig> {
    private struct Draft {
        var file: String?
        var environment: String?
    }

    fileprivate static var secret: ValueType {
        .mapping(
            MappingSchema(
                name: "secret", hidesKeys: true,
                summary:
                    "Where the value of a secret comes from. Policies get it by `moon.secret(name)`; it appears in no"
                    + " log.",
                initial: Draft(), alternatives: [.exactlyOne(["file"], ["env"])],
                fields: [
                    Field(
                        "file", \.file, .path(.hidden),
                        "A file that holds the value; a line break at its end is left out. The file is watched."),
                    Field("env", \.environment, .variable, "The name of an environment variable of the process."),
                ])
        ) { draft, mapping, _ in
            let source: SecretConfig.Source? =
                draft.file.map { .file($0) } ?? draft.environment.map { .environment($0) }
            return source.map { SecretConfig(name: "", source: $0, location: mapping.location) }
        }
    }
}

extension ValueType<String> {
    fileprivate static var variable: ValueType {
        let shape = TextShape(name: "environment variable", pattern: "^[A-Za-z_][A-Za-z0-9_]*$")
        return .text(shape, expected: "the name of an environment variable") { text, _ throws(SyntaxFault) in
            let isName = text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || byte == 0x5f
            }
            guard isName, let first = text.utf8.first, !(0x30...0x39).contains(first) else {
                throw SyntaxFault.plain("this is no name of an environment variable", hint: "letters, digits and _")
            }
            return text
        }
    }
}
