/// What happens when a worker is stuck in one turn of its loop.
public struct WatchdogConfig: Sendable, Equatable {
    /// How long a turn may take until the worker gets no new connections.
    public var stall: Duration
    /// How long a turn may take until `/live` fails.
    public var live: Duration
    /// How long a turn may take until the process aborts. `nil`: it does not.
    public var abort: Duration?

    public init(stall: Duration = .seconds(2), live: Duration = .seconds(10), abort: Duration? = nil) {
        self.stall = stall
        self.live = live
        self.abort = abort
    }
}
