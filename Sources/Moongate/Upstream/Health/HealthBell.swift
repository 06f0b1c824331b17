/// What the health monitor is told of.
enum HealthNews: Sendable {
    /// Endpoints came or went, or the configuration changed.
    case members(SharedUpstream)
    /// Requests to an endpoint fail.
    case suspicion(SharedUpstream, SharedEndpoint, Suspicion)
}

/// Reaches the health monitor from any thread; nobody hears it where there is none.
final class HealthBell: Sendable {
    private let listener = Locked<(@Sendable (HealthNews) -> Void)?>(nil)

    func connect(_ new: @escaping @Sendable (HealthNews) -> Void) { listener.withLock { $0 = new } }

    func disconnect() { listener.withLock { $0 = nil } }

    func ring(_ news: HealthNews) {
        let listener = listener.withLock { $0 }
        listener?(news)
    }
}
