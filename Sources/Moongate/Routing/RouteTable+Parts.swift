// What the table's arrays hold. Plain values that name each other by number; -1 is none.

/// What one listener sees; listeners with the same routes share one.
struct Realm: BitwiseCopyable {
    var anyHost: Int32 = -1
    /// Bytes of the longest suffix behind `*.`; 0: there is none.
    var longestSuffix: Int32 = 0
    var hasHosts = false
}

/// The rules for one host (or `*.suffix`, or every host) of a realm.
struct HostGroup: BitwiseCopyable {
    var root: Int32
    /// Bucket of the rules without a path.
    var anyPath: Int32 = -1
    var hasMethods = false
}

/// A path element and what stands above it.
struct PathNode: BitwiseCopyable {
    var parent: Int32
    /// Bucket of the rules that want exactly this path.
    var exact: Int32 = -1
    /// Bucket of the rules that want this path or one below it.
    var prefix: Int32 = -1
    var hasChildren = false
}

/// The candidates that share host and path.
struct Bucket: BitwiseCopyable {
    /// List of those that no header leads to.
    var unanchored: Int32
    /// `Bucket.filter` of every header name that leads to candidates. 0: none does.
    var headerNames: UInt64

    /// One bit for a name, from its length and first byte: spares most headers of a request the look-up.
    @inline(__always)
    static func filter(_ name: Bytes) -> UInt64 {
        guard name.count > 0 else { return 0 }
        return 1 << ((UInt64(truncatingIfNeeded: name.count) &+ UInt64(name[0]) &* 8) & 63)
    }
}

/// A header name of a bucket that leads to candidates.
struct HeaderAnchor: BitwiseCopyable {
    /// Place of the name within its bucket.
    var ordinal: Int32
    /// List of the candidates that only need the header to be there; -1: none.
    var present: Int32
}

struct ListRange: BitwiseCopyable {
    var start: Int32
    var count: Int32
}

/// One alternative of a route. Of two in the same bucket the one with the smaller number is preferred.
struct Candidate: BitwiseCopyable {
    var route: Int32
    var firstPredicate: Int32
    var predicateCount: Int32
    /// A `service` rule: it wants a `/` behind the service's name.
    var needsMore: Bool
}

struct CompiledPredicate: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable { case exact, prefix, regex, present, absent }
    var kind: Kind
    var name: TextRange
    /// What to compare with; unused by regex, present and absent.
    var value: TextRange
    var pattern: OpaquePointer?
}
