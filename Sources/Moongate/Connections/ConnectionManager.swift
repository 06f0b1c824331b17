/// Keeps one connection to its schedule. Made only for connections that have one.
final class ConnectionManager: TimedObject {
    private weak var connection: (any ManagedConnection)?
    private var schedule: ConnectionSchedule

    init(_ settings: ConnectionSchedule.Settings, of connection: any ManagedConnection, loop: EventLoop) {
        self.connection = connection
        schedule = ConnectionSchedule(settings, at: loop.now, random: UInt64.random(in: 0...UInt64.max))
        super.init(loop)
    }

    override func timeIsUp() { look() }

    /// Does what is due, and waits for what comes next. To be called when the connection has begun, and when it is
    /// established.
    func look() {
        while let view = connection?.scheduleView {
            guard let action = schedule.next(view) else {
                guard let due = schedule.due(view) else { clear(); return }
                set(after: due > loop.now ? due - loop.now : 0)
                return
            }
            connection?.perform(action)
        }
        clear()
    }

    /// A drain has begun before the peer has spoken.
    func drainSoon() {
        schedule.drainSoon(at: loop.now)
        look()
    }

    /// A drain has begun.
    func drainBegan() {
        schedule.drainBegan(at: loop.now)
        look()
    }
}

/// A connection with a schedule.
protocol ManagedConnection: AnyObject {
    /// `nil`: it is closed.
    var scheduleView: ConnectionSchedule.View? { get }
    func perform(_ action: ConnectionSchedule.Action)
}
