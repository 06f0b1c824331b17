/// Ways to go through the streams of a connection. A list of raw addresses is no place to stand while others are told something
/// that may end them: those who only look are kept apart from those who call out.
extension EngineHost {
    /// Looks at every open stream. `body` calls nobody that could open or end a stream.
    @inline(__always) final func inspectStreams(_ body: (Stream) -> Void) {
        state.inspections += 1
        defer { state.inspections -= 1 }
        var current = state.streams.first
        while let stream = current {
            current = state.streams.next(after: stream)
            body(stream)
        }
    }

    /// Calls `body` with every stream that is open now and still is when its turn comes. `body` may end any stream, and the
    /// connection. Allocates.
    final func forEachStream(_ body: (Stream) -> Void) {
        var numbers: [Int32] = []
        numbers.reserveCapacity(streams.count)
        inspectStreams { numbers.append($0.id) }
        for number in numbers {
            if let stream = state.streams[number] { body(stream) }
        }
    }

    /// As `forEachStream`, with the streams' owners.
    final func forEachOwner(_ body: (StreamOwner) -> Void) {
        forEachStream { if let owner = $0.owner { body(owner) } }
    }
}
