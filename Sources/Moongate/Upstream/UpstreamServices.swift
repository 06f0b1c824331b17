/// What everything upstream of one worker shares.
struct UpstreamServices {
    let loop: EventLoop
    let library: HTTP2Library
    /// Gets the events of upstream streams.
    let streams: StreamDelegate
    let waiter: StreamWaiter
    let resolver: Resolver
}
