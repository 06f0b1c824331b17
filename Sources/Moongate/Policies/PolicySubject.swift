import MoongateConfig

/// What policies see of one exchange, and what they decide about it beside the verdict.
///
/// Filled in by the exchange before a run starts; the memory behind the pointers stays valid until the run ends.
struct PolicySubject {
    // MARK: Given

    var request: HeaderList?
    /// Empty until the response's head is known.
    var response: HeaderList?
    var requestFlow = PolicyFlow()
    var responseFlow = PolicyFlow()
    /// The client's connection; kept by the exchange.
    var connection: Unmanaged<ConnectionFacts>?
    /// Whom the request counts for; its texts are kept by the exchange.
    var client: ClientAddress?
    /// The names of the upstreams in the exchange's generation, for `setUpstream`; kept by the generation.
    var upstreamNames: Unmanaged<NameIndex>?
    /// The exchange's generation, kept by it.
    var view: Unmanaged<PolicyView>?
    /// Indexes in the generation; -1: no route was chosen (yet).
    var route = -1
    var listener = -1
    /// The upstreams of the exchange's generation, for calls; kept by the generation.
    var upstreams: Unmanaged<UpstreamDirectory>?
    /// Empty before a route is chosen and for requests without one.
    var routeName = Bytes.empty
    /// Appears in log lines as 16 hex digits, see `RequestNumber`.
    var requestNumber: UInt64 = 0

    // MARK: Decided

    /// A request header was written: the head must be checked again.
    var requestWritten = false
    /// A request header was written that routes look at, or `clearRouteCache` was called: the route must be chosen again.
    var routeCacheCleared = false
    /// Index of the upstream that `setUpstream` named; -1: the route's own choice.
    var upstream = -1
    /// What policies asked of the choice among the upstream's endpoints; `nil`: nothing.
    var wish: EndpointPreference?
    /// Nanoseconds in place of the route's timeout, 0 for none; `nil`: the route's.
    var timeout: UInt64?
    /// The client's connection takes no more requests after this one.
    var drainsConnection = false
}
