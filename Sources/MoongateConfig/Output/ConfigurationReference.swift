/// What is known about the configuration file, for people and for editors. Both texts are generated from the
/// description that the parser reads with.
public enum ConfigurationReference {
    /// JSON Schema, draft 7.
    public static var jsonSchema: String { JSONSchema.text(of: ValueType<Configuration>.configuration.shape) }

    /// The reference in Markdown, with a complete example.
    public static var markdown: String {
        MarkdownReference.text(of: ValueType<Configuration>.configuration.shape, example: example)
    }
}
