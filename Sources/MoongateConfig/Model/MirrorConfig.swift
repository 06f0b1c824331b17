/// An upstream that gets copies of a route's requests; its answers are dropped.
public struct MirrorConfig: Sendable, Equatable {
    public var upstream: String
    /// How many of a million requests are copied.
    public var millionths: Int
    /// Bytes of one request that may wait for the mirror; one that needs more is given up.
    public var buffer: Int

    public init(upstream: String, millionths: Int = 1_000_000, buffer: Int = 1 << 20) {
        self.upstream = upstream
        self.millionths = millionths
        self.buffer = buffer
    }
}
