/// Ways to go through the streams of a connection. A list of raw addresses is no place to stand while others are told something
/// that may end them: those who only look are kept apart from those who call out.
extension HTTP2Connection {
    /// Looks at every open stream. `body` calls nobody that could open or end a stream.
    @inline(__always) func inspectStreams(_ body: (HTTP2StreamPointer) -> Void) {
        core.pointee.inspections += 1
        defer { core.pointee.inspections -= 1 }
        var current = core.pointee.streams.first
        while let stream = current {
            current = core.pointee.streams.next(after: stream)
            body(stream)
        }
    }

    /// Calls `body` with every stream that is open now and still is when its turn comes. `body` may end any stream, and the
    /// connection. Allocates.
    func forEachStream(_ body: (HTTP2StreamPointer) -> Void) {
        var numbers: [Int32] = []
        numbers.reserveCapacity(streams.count)
        inspectStreams { numbers.append($0.pointee.id) }
        for number in numbers {
            if let stream = core.pointee.streams[number] { body(stream) }
        }
    }

    /// As `forEachStream`, with what the streams' delegates know them by.
    func forEachOwner(_ body: (UnsafeMutableRawPointer) -> Void) {
        forEachStream { if let owner = $0.pointee.owner { body(owner) } }
    }

    /// For assertions.
    var hasSoundQueues: Bool {
        var waiting = 0
        inspectStreams { if $0.pointee.queue != .none { waiting += 1 } }
        return core.pointee.queues.checkedCount() == waiting
    }
}
