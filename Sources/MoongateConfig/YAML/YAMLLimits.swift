/// Bounds that keep a hostile or broken file from exhausting memory, stack or time.
enum YAMLLimits {
    /// Largest file in bytes.
    static let bytes = 16 << 20
    /// Deepest nesting of lists and mappings.
    static let depth = 64
    /// Most values, with those behind aliases counted every time they are used.
    static let nodes = 1_000_000
    /// Most repeated keys that are told apart before reading on stops.
    static let repeatedKeys = 50
}
