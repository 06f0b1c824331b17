/// Streams whose heads are too large to leave before the server of their connection has said what it takes, in the order in
/// which they came.
struct UnsettledStreams {
    private var entries: [(pendingStream: PendingStream, connection: ObjectIdentifier)] = []

    var count: Int { entries.count }

    mutating func append(_ pendingStream: PendingStream, waitingFor connection: ObjectIdentifier) {
        entries.append((pendingStream, connection))
    }

    /// Takes out the first one that waits for `connection`. One at a time: what is told to one of them may end others.
    mutating func next(of connection: ObjectIdentifier) -> PendingStream? {
        guard let index = entries.firstIndex(where: { $0.connection == connection }) else { return nil }
        return entries.remove(at: index).pendingStream
    }

    /// The stream is gone; false: it does not wait here.
    mutating func remove(_ owner: StreamOwner) -> Bool {
        guard let index = entries.firstIndex(where: { $0.pendingStream.owner == owner }) else { return false }
        entries.remove(at: index)
        return true
    }
}
