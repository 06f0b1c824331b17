import CMoongate
import MoongateLua

/// The timers that a policy has set on a worker. They run as long as its engine is in service.
final class PolicyTimers {
    /// Timers that one policy file may have at a time on a worker.
    static let limit = 1024

    private final class Entry {
        let function: LuaReference
        /// Of the instance whose runs and errors they are.
        let place: PolicyUnit.Place
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

        init(_ function: LuaReference, of place: PolicyUnit.Place, interval: UInt64, repeats: Bool) {
            self.function = function
            self.place = place
            self.interval = interval
            self.repeats = repeats
        }
    }

    private var entries: [Int64: Entry] = [:]
    private var lastNumber: Int64 = 0
    private var isRunning = false

    var isFull: Bool { entries.count >= PolicyTimers.limit }

    /// Adds a timer, which takes over the reference. Gives its number, which `cancel` takes.
    /// - Parameter place: of the instance whose limits are the function's.
    func add(
        _ function: LuaReference, of place: PolicyUnit.Place, interval: UInt64, repeats: Bool, _ engine: PolicyEngine
    ) -> Int64 {
        engine.vm.limit(function, milliseconds: engine.unit.instances[Int(place.index)].milliseconds)
        lastNumber += 1
        let entry = Entry(function, of: place, interval: interval, repeats: repeats)
        entries[lastNumber] = entry
        if isRunning { arm(lastNumber, entry, engine) }
        return lastNumber
    }

    func cancel(_ number: Int64, _ engine: PolicyEngine) {
        guard let entry = entries[number] else { return }
        entry.alarm = nil
        entry.isCancelled = true
        if entry.run == nil { forget(number, entry, engine) }
    }

    private func forget(_ number: Int64, _ entry: Entry, _ engine: PolicyEngine) {
        if let step = entry.step { engine.host?.turn.cancel(step) }
        entries[number] = nil
        engine.vm.release(entry.function)
    }

    /// The engine is at home on its worker and its generation is in force.
    func start(_ engine: PolicyEngine) {
        guard !isRunning else { return }
        isRunning = true
        for (number, entry) in entries { arm(number, entry, engine) }
    }

    /// Nothing fires any more, and functions that wait never go on.
    func stop(_ engine: PolicyEngine) {
        isRunning = false
        let stopped = entries
        entries = [:]
        for entry in stopped.values {
            entry.alarm = nil
            if let step = entry.step { engine.host?.turn.cancel(step) }
            entry.step = nil
            if let run = entry.run { engine.host?.end(run) }
            entry.run = nil
        }
    }

    // MARK: Running

    private func arm(_ number: Int64, _ entry: Entry, _ engine: PolicyEngine) {
        entry.alarm = engine.host?.makeAlarm?(.timer) { [weak engine] in
            if let engine { engine.timers.fire(number, engine) }
        }
        entry.alarm?.set(after: entry.interval)
    }

    private func fire(_ number: Int64, _ engine: PolicyEngine) {
        guard let entry = entries[number] else { return }
        if entry.repeats { entry.alarm?.set(after: entry.interval) }
        // Still waiting from the last time: this turn is left out.
        guard entry.run == nil, entry.step == nil else { return }
        if mg_turn_is_spent() && postpone(number, entry, engine) { return }
        begin(number, engine)
    }

    private func postpone(_ number: Int64, _ entry: Entry, _ engine: PolicyEngine) -> Bool {
        let step = PolicyStep(.timer) { [weak engine] in
            if let engine { engine.timers.begin(number, engine) }
        }
        guard engine.host?.turn.postpone(step, .timers(ObjectIdentifier(engine))) == true else { return false }
        entry.step = step
        return true
    }

    private func begin(_ number: Int64, _ engine: PolicyEngine) {
        guard let entry = entries[number] else { return }
        entry.step = nil
        guard let run = engine.host?.begin(owner: nil, engine.instances) else { return }
        entry.run = run
        if run.startTimer(entry.function, of: entry.place) != .pause { ended(run, engine) }
    }

    /// A function has come to its end, or failed.
    func ended(_ run: PolicyRun, _ engine: PolicyEngine) {
        engine.host?.end(run)
        guard let (number, entry) = entries.first(where: { $0.value.run == run }) else { return }
        entry.run = nil
        if !entry.repeats || entry.isCancelled { forget(number, entry, engine) }
    }
}
