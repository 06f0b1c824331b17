import CMoongate
import MoongateLua

/// The timers that a host's policies have set. They run from the host's first adoption to the next host's.
final class PolicyTimers {
    /// Timers that one worker's policies may have at a time.
    static let limit = 1024

    private final class Entry {
        let function: LuaReference
        /// Whose runs and errors they are.
        let instance: Int32
        /// Nanoseconds; the first run comes after one of these, too.
        let interval: UInt64
        let repeats: Bool
        var alarm: (any PolicyAlarm)?
        /// Set while the function runs or waits for something.
        var run: PolicyRun?
        /// Set while the function waits for a turn of the loop.
        var step: PolicyStep?
        /// Ends with the run that is under way.
        var isCancelled = false

        init(_ function: LuaReference, instance: Int32, interval: UInt64, repeats: Bool) {
            self.function = function
            self.instance = instance
            self.interval = interval
            self.repeats = repeats
        }
    }

    private var entries: [Int64: Entry] = [:]
    private var lastNumber: Int64 = 0
    private var isRunning = false

    var isFull: Bool { entries.count >= PolicyTimers.limit }

    /// Adds a timer, which takes over the reference. Gives its number, which `cancel` takes.
    /// - Parameter instance: whose limits are the function's.
    func add(
        _ function: LuaReference, instance: Int32, interval: UInt64, repeats: Bool, _ host: PolicyHost
    ) -> Int64 {
        host.vm.limit(function, milliseconds: host.program.instances[Int(instance)].milliseconds)
        lastNumber += 1
        let entry = Entry(function, instance: instance, interval: interval, repeats: repeats)
        entries[lastNumber] = entry
        if isRunning { arm(lastNumber, entry, host) }
        return lastNumber
    }

    func cancel(_ number: Int64, _ host: PolicyHost) {
        guard let entry = entries[number] else { return }
        entry.alarm = nil
        entry.isCancelled = true
        if entry.run == nil { forget(number, entry, host) }
    }

    private func forget(_ number: Int64, _ entry: Entry, _ host: PolicyHost) {
        if let step = entry.step { host.turn.cancel(step) }
        entries[number] = nil
        host.vm.release(entry.function)
    }

    /// The host is at home on its worker and its generation is in force.
    func start(_ host: PolicyHost) {
        guard !isRunning else { return }
        isRunning = true
        for (number, entry) in entries { arm(number, entry, host) }
    }

    /// Nothing fires any more, and functions that wait never go on.
    func stop(_ host: PolicyHost) {
        isRunning = false
        let stopped = entries
        entries = [:]
        for entry in stopped.values {
            entry.alarm = nil
            if let step = entry.step { host.turn.cancel(step) }
            entry.step = nil
            if let run = entry.run { host.end(run) }
            entry.run = nil
        }
    }

    // MARK: Running

    private func arm(_ number: Int64, _ entry: Entry, _ host: PolicyHost) {
        entry.alarm = host.makeAlarm?(.timer) { [weak host] in
            if let host { host.timers.fire(number, host) }
        }
        entry.alarm?.set(after: entry.interval)
    }

    private func fire(_ number: Int64, _ host: PolicyHost) {
        guard let entry = entries[number] else { return }
        if entry.repeats { entry.alarm?.set(after: entry.interval) }
        // Still waiting from the last time: this turn is left out.
        guard entry.run == nil, entry.step == nil else { return }
        if mg_turn_is_spent() && postpone(number, entry, host) { return }
        begin(number, host)
    }

    private func postpone(_ number: Int64, _ entry: Entry, _ host: PolicyHost) -> Bool {
        let step = PolicyStep(.timer) { [weak host] in
            if let host { host.timers.begin(number, host) }
        }
        guard host.turn.postpone(step, .timers(entry.instance)) else { return false }
        entry.step = step
        return true
    }

    private func begin(_ number: Int64, _ host: PolicyHost) {
        guard let entry = entries[number] else { return }
        entry.step = nil
        guard let run = host.begin(owner: nil) else { return }
        entry.run = run
        if run.startTimer(entry.function, of: entry.instance) != .pause { ended(run, host) }
    }

    /// A function has come to its end, or failed.
    func ended(_ run: PolicyRun, _ host: PolicyHost) {
        host.end(run)
        guard let (number, entry) = entries.first(where: { $0.value.run == run }) else { return }
        entry.run = nil
        if !entry.repeats || entry.isCancelled { forget(number, entry, host) }
    }
}
