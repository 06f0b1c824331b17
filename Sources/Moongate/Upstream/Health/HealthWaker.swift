/// What the health monitor is told of.
enum HealthEvent: Sendable {
    /// Endpoints came or went, or the configuration changed.
    case members(SharedUpstream)
    /// Requests to an endpoint fail.
    case suspicion(SharedUpstream, SharedEndpoint, SuspicionReason)
}

/// Hears the news, on whichever thread they happen.
protocol HealthListener: AnyObject, Sendable {
    func hear(_ news: HealthEvent)
}

/// Reaches the health monitor from any thread; nobody hears it where there is none.
final class HealthWaker: Sendable {
    /// An object and not a closure: see `Locked`.
    private let listener = Locked<(any HealthListener)?>(nil)

    func connect(_ new: any HealthListener) { listener.withLock { $0 = new } }

    func disconnect() { listener.withLock { $0 = nil } }

    func ring(_ news: HealthEvent) { listener.withLock { $0 }?.hear(news) }
}
