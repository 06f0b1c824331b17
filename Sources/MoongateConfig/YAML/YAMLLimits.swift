/// Bounds that keep a hostile or broken file from exhausting memory, stack or time.
struct YAMLLimits {
    /// Largest file in bytes.
    static let bytes = 16 << 20
    /// Largest file that is read entry by entry.
    static let listBytes = 64 << 20
    /// Deepest nesting of lists and mappings.
    static let depth = 64
    /// Most repeated keys that are told before reading on stops.
    static let repeatedKeys = 50

    /// Most values, with those behind aliases counted every time they are used.
    var nodes = 1_000_000

    /// For a file that is read entry by entry.
    static let list = YAMLLimits(nodes: 10_000_000)

    /// As messages write the number.
    var nodesText: String { nodes == 1_000_000 ? "1,000,000" : "10,000,000" }
}
