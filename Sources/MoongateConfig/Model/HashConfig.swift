/// What of a request is hashed for `ring_hash` and `maglev`.
public enum HashSource: Sendable, Equatable {
    /// The first value of a header; the name in lower case.
    case header(String)
    case cookie(HashCookie)
    /// The first value of a parameter of the path's query, as it stands there.
    case queryParameter(String)
    /// The client's IP address, without the port.
    case sourceAddress
}

/// A cookie whose value is hashed.
public struct HashCookie: Sendable, Equatable {
    public var name: String
    /// With a value, a client without the cookie gets one that lasts so long; `.zero`: until its session ends.
    /// `nil`: the cookie is only read.
    public var ttl: Duration?
    /// The attribute `Path` of a cookie that is set.
    public var path: String

    public init(name: String, ttl: Duration? = nil, path: String = "/") {
        self.name = name
        self.ttl = ttl
        self.path = path
    }
}

/// How many points a hash ring has.
public struct RingHashConfig: Sendable, Equatable {
    /// All endpoints together have at least so many, as long as `maximumSize` allows.
    public var minimumSize: Int
    public var maximumSize: Int

    public init(minimumSize: Int = 1024, maximumSize: Int = 65536) {
        self.minimumSize = minimumSize
        self.maximumSize = maximumSize
    }
}

/// How many places the look-up table of Maglev has.
public struct MaglevConfig: Sendable, Equatable {
    /// A prime number, well above the number of endpoints.
    public var tableSize: Int

    public init(tableSize: Int = 65537) { self.tableSize = tableSize }
}
