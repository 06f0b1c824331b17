/// What waits for the peer.
extension HTTP2Connection {
    /// Something does: looks at it before long.
    func watchSoon() { watcher.look(within: ConnectionStallDetector.soon) }

    /// A request has begun.
    @inline(__always) func watchBodies() { if watch == nil || streams.count == 1 { watchBodiesNow() } }

    private func watchBodiesNow() {
        if watchLimits.body > 0 { watcher.look(within: watchLimits.bodyInterval) }
    }

    /// Nothing does any more.
    func endWatch() { watch = nil }

    private var watcher: ConnectionStallDetector {
        if let watch { return watch }
        let new = ConnectionStallDetector(self, loop: loop)
        watch = new
        return new
    }
}
