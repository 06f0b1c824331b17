/// How the paths of a listener's requests become canonical.
public enum PathMode: String, Sendable, Equatable, CaseIterable {
    /// Spellings that servers read in different ways are refused, all others become one.
    case strict
    /// Unreserved characters are decoded, dot segments are refused, and nothing else.
    case lenient
}

/// The treatment of requests whose path has parameters (`;`), which some servers take off before they dispatch.
public enum PathParametersMode: String, Sendable, Equatable, CaseIterable {
    case refuse, allow
}

/// The treatment of requests whose path has `%2F`, which some servers take for a slash.
public enum EncodedSlashMode: String, Sendable, Equatable, CaseIterable {
    case refuse, keep
}
