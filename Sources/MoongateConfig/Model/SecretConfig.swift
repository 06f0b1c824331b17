/// A secret for policies: a name, and where its value comes from. The value itself is never part of a configuration.
public struct SecretConfig: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
        /// Absolute path.
        case file(String)
        /// Name of an environment variable of the process.
        case environment(String)
    }
    public var name: String
    public var source: Source
    public var location: SourceLocation
    public init(name: String, source: Source, location: SourceLocation = .unknown) {
        self.name = name
        self.source = source
        self.location = location
    }
}
