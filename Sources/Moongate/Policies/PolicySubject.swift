/// What policies see of one exchange, and what they decide about it beside the verdict.
///
/// Filled in by the exchange before a run starts; the memory behind the pointers stays valid until the run ends.
struct PolicySubject {
    // MARK: Given

    var request: UnsafeMutablePointer<HeaderList>?
    /// Empty until the response's head is known.
    var response: UnsafeMutablePointer<HeaderList>?
    /// The client's connection; kept by the exchange.
    var connection: Unmanaged<ConnectionFacts>?
    /// The names of the upstreams in the exchange's generation, for `setUpstream`; kept by the generation.
    var upstreamNames: Unmanaged<NameIndex>?
    /// Empty before a route is chosen and for requests without one.
    var routeName = Bytes.empty
    /// Appears in log lines as 16 hex digits, see `RequestNumber`.
    var requestNumber: UInt64 = 0

    // MARK: Decided

    /// A request header was written, or `clearRouteCache` was called: the route must be chosen again.
    var routeCacheCleared = false
    /// Index of the upstream that `setUpstream` named; -1: the route's own choice.
    var upstream = -1
}
