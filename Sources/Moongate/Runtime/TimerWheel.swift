/// One alarm; lies inside the record that wants it, or on its own.
///
/// The record must not move or end while the timer is set.
struct Timer {
    fileprivate var next: UnsafeMutablePointer<Timer>?
    fileprivate var previous: UnsafeMutablePointer<Timer>?
    fileprivate var deadline: UInt64 = 0
    fileprivate var slot: Int32 = -1
    /// Called with `target` when the time has come; the timer is unset by then.
    var action: (@convention(c) (UnsafeMutableRawPointer) -> Void)?
    var target: UnsafeMutableRawPointer?

    @inline(__always) var isSet: Bool { slot >= 0 }
}

/// Timers in millisecond ticks on four wheels of 256 slots: setting, moving and clearing cost the same however
/// many there are. Thread-confined.
///
/// A timer never fires early; it fires at most one tick late, plus what its loop is busy.
final class TimerWheel {
    private static let slotsPerWheel = 256
    private static let wheels = 4

    private let slots: UnsafeMutablePointer<UnsafeMutablePointer<Timer>?>
    private var tick: UInt64
    /// Timers that are set.
    private(set) var count = 0

    init(now: Instant) {
        let total = TimerWheel.slotsPerWheel * TimerWheel.wheels
        slots = .allocate(capacity: total)
        slots.initialize(repeating: nil, count: total)
        tick = now / 1_000_000
    }

    deinit { slots.deallocate() }

    /// Sets `timer` to fire at `deadline`, wherever it was set before.
    func set(_ timer: UnsafeMutablePointer<Timer>, at deadline: Instant) {
        clear(timer)
        let rounded = deadline / 1_000_000 + (deadline % 1_000_000 == 0 ? 0 : 1)
        timer.pointee.deadline = max(rounded, tick + 1)
        insert(timer)
        count += 1
    }

    func clear(_ timer: UnsafeMutablePointer<Timer>) {
        guard timer.pointee.isSet else { return }
        unlink(timer)
        count -= 1
    }

    /// Milliseconds until there may be something to fire; `nil` if no timer is set.
    func delay(now: Instant) -> Int? {
        guard count > 0 else { return nil }
        let current = now / 1_000_000
        guard current <= tick else { return 0 }
        // Only the first wheel is looked at: a far timer costs a wake-up when its wheel turns over.
        let rest = TimerWheel.slotsPerWheel - Int(tick % 256)
        for step in 1...rest where step == rest || slots[Int((tick + UInt64(step)) % 256)] != nil {
            return Int(tick + UInt64(step) - current)
        }
        return rest
    }

    /// Fires everything due at `now`.
    func advance(to now: Instant, fire: (UnsafeMutablePointer<Timer>) -> Void) {
        let target = now / 1_000_000
        if count == 0 { tick = max(tick, target) }
        while tick < target {
            tick += 1
            if tick % 256 == 0 { cascade() }
            let index = Int(tick % 256)
            while let timer = slots[index] {
                unlink(timer)
                count -= 1
                fire(timer)
            }
            if count == 0 { tick = max(tick, target) }
        }
    }

    /// Moves the timers of the next slot of each wheel that turned over one wheel down.
    private func cascade() {
        var turned = tick
        for wheel in 1..<TimerWheel.wheels {
            turned /= 256
            let index = wheel * TimerWheel.slotsPerWheel + Int(turned % 256)
            var next = slots[index]
            slots[index] = nil
            while let timer = next {
                next = timer.pointee.next
                timer.pointee.slot = -1
                insert(timer)
            }
            if turned % 256 != 0 { return }
        }
    }

    private func insert(_ timer: UnsafeMutablePointer<Timer>) {
        let index = slotIndex(timer.pointee.deadline)
        let first = slots[index]
        timer.pointee.next = first
        timer.pointee.previous = nil
        timer.pointee.slot = Int32(index)
        first?.pointee.previous = timer
        slots[index] = timer
    }

    private func slotIndex(_ deadline: UInt64) -> Int {
        let distance = deadline - tick
        if distance < 256 { return Int(deadline % 256) }
        if distance < 256 * 256 { return 256 + Int((deadline >> 8) % 256) }
        if distance < 256 * 256 * 256 { return 512 + Int((deadline >> 16) % 256) }
        // Beyond 2^32 ms (49 days) a timer waits in the last slot of the last wheel and is put in again.
        return 768 + Int((min(deadline, tick + (1 << 32) - 1) >> 24) % 256)
    }

    private func unlink(_ timer: UnsafeMutablePointer<Timer>) {
        let next = timer.pointee.next
        if let previous = timer.pointee.previous {
            previous.pointee.next = next
        } else {
            slots[Int(timer.pointee.slot)] = next
        }
        next?.pointee.previous = timer.pointee.previous
        timer.pointee.next = nil
        timer.pointee.previous = nil
        timer.pointee.slot = -1
    }
}
