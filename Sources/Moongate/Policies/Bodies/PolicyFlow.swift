/// One direction of an exchange, as bodies see it. The memory stays valid until the run ends.
struct PolicyFlow {
    /// What goes to the other side next.
    var queue: UnsafeMutablePointer<ByteQueue>?
    /// The head, for `content-length`.
    var head: HeaderList?
    /// Complete once the body has ended.
    var trailers: HeaderList?
    /// Nothing more will be put into `queue`.
    var ended: UnsafeMutablePointer<Bool>?
    /// Follows what was put into `queue`; `nil` where nobody wants to know.
    var messages: UnsafeMutablePointer<GRPCMessageTracker>?
    /// The response's head is on its way to the client; `nil`: nobody can tell, as in the request's flow.
    var headSent: UnsafeMutablePointer<Bool>?
}
