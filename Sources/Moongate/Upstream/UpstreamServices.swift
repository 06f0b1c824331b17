/// What everything upstream of one worker shares.
struct UpstreamServices {
    let loop: EventLoop
    let shared: ConnectionShared
    let resolver: Resolver
    /// `nil`: nobody wants to know.
    var abuses: AbuseLog?
}
