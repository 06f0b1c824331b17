/// What rings for a policy later, once for every time it is set. Nothing rings any more once it is released.
protocol PolicyAlarm: AnyObject {
    /// Rings `nanoseconds` from now, instead of whenever it was set to.
    func set(after nanoseconds: UInt64)
}

/// What alarms are for.
enum PolicyAlarmUse {
    /// `moon.timer`.
    case timer
    /// `moon.sleep`: a hook waits.
    case sleep
}

extension OwnedTimer: PolicyAlarm {}
