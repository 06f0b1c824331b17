/// What everything upstream of one worker shares.
struct UpstreamServices {
    let loop: EventLoop
    let library: HTTP2SharedState
    let resolver: Resolver
    /// `nil`: nobody wants to know.
    var abuses: AbuseLog?
}
