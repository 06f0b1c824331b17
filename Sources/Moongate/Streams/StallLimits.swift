/// How long a peer may leave something undone, in nanoseconds, and how much we keep for it meanwhile. 0: no limit.
struct StallLimits: Sendable, Equatable {
    /// From the first octet of a frame, or of a header section in several, to the last one.
    var headers: UInt64 = 10_000_000_000
    /// The kernel takes nothing of what is to be sent.
    var output: UInt64 = 60_000_000_000
    /// No DATA of a request that is not complete, before the response begins or after it has ended.
    var body: UInt64 = 0
    /// Octets of responses that wait for the peer's windows.
    var responses = 0
    /// Octets of requests: of their heads, of what waits for upstreams, and of what policies collect, each.
    var requests = 0

    /// Bodies are looked at eight times in the time that they have.
    var bodyInterval: UInt64 { max(1_000_000, body / 8) }
}
