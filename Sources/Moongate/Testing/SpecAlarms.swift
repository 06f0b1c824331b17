/// The alarms of the policies of a spec. They ring by the spec's clock, which only the spec moves.
final class SpecAlarms {
    private struct Pending {
        var due: UInt64
        weak var alarm: SpecAlarm?
    }

    private let world: SpecWorld
    /// In the order in which they were set.
    private var pending: [Pending] = []
    /// Nanoseconds that the spec has let pass.
    private var time: UInt64 = 0

    init(_ world: SpecWorld) { self.world = world }

    func make(_ use: PolicyAlarmUse, _ action: @escaping () -> Void) -> any PolicyAlarm { SpecAlarm(self, use, action) }

    fileprivate func set(_ alarm: SpecAlarm, after nanoseconds: UInt64) {
        pending.removeAll { $0.alarm == nil || $0.alarm === alarm }
        pending.append(Pending(due: time &+ nanoseconds, alarm: alarm))
    }

    /// Lets time pass up to the next alarm, and rings it.
    ///
    /// - Parameter left: nanoseconds that may pass; what has passed is taken off.
    /// - Returns: false: no alarm is due before the time is up; nothing has passed.
    func ringNext(within left: inout UInt64) -> Bool {
        pending.removeAll { $0.alarm == nil }
        guard let next = pending.indices.min(by: { pending[$0].due < pending[$1].due }) else { return false }
        let due = pending[next].due
        guard due &- time <= left, let alarm = pending[next].alarm else { return false }
        pending.remove(at: next)
        let passed = due &- time
        left -= passed
        pass(passed)
        alarm.action()
        return true
    }

    /// Lets time pass that holds no alarm.
    func pass(_ nanoseconds: UInt64) {
        time &+= nanoseconds
        if nanoseconds > 0 { world.clock.advance(by: nanoseconds) }
    }

    /// A hook waits for its alarm.
    var isSleeping: Bool { pending.contains { $0.alarm?.use == .sleep } }
}

private final class SpecAlarm: PolicyAlarm {
    fileprivate let use: PolicyAlarmUse
    fileprivate let action: () -> Void
    private weak var alarms: SpecAlarms?

    init(_ alarms: SpecAlarms, _ use: PolicyAlarmUse, _ action: @escaping () -> Void) {
        self.alarms = alarms
        self.use = use
        self.action = action
    }

    func set(after nanoseconds: UInt64) { alarms?.set(self, after: nanoseconds) }
}
