import MoongateLua

/// The end of a policy that has served: its `on_close` hooks run, last one first, and may wait and call upstreams until the
/// time is up. Keeps the engine until all of them have ended or were given up.
///
/// They wait at the same time, each in a run without an exchange, as timers have.
final class PolicyClosing {
    /// Nanoseconds that the hooks of one engine have in all.
    static let limit: UInt64 = 1_000_000_000

    private let engine: PolicyEngine
    private let time: UInt64
    private let whenDone: () -> Void
    /// Those that wait.
    private var runs: [PolicyRun] = []
    private var alarm: (any PolicyAlarm)?
    private var isStarting = true

    init(_ engine: PolicyEngine, within time: UInt64, _ whenDone: @escaping () -> Void) {
        self.engine = engine
        self.time = time
        self.whenDone = whenDone
    }

    /// On the thread that owns the VM.
    func begin() {
        for index in (0..<engine.unit.instances.count).reversed() where engine.instances[index].close != 0 {
            guard let run = engine.host?.begin(owner: nil, engine.instances) else {
                failed(index, LuaError(reason: .memory, message: "no memory for on_close"), .memoryLimit)
                continue
            }
            if run.startClose(Int32(index)) == .pause { runs.append(run) } else { engine.host?.end(run) }
        }
        isStarting = false
        guard !runs.isEmpty else { return finish() }
        // Without a loop nothing would ever go on.
        guard let alarm = engine.host?.makeAlarm?(.sleep, { [weak self] in self?.timeIsUp() }) else {
            return timeIsUp()
        }
        self.alarm = alarm
        alarm.set(after: time)
    }

    /// A hook that waited has come to its end, or failed.
    func ended(_ run: PolicyRun) {
        guard let place = runs.firstIndex(of: run) else { return }
        runs.remove(at: place)
        engine.host?.end(run)
        if runs.isEmpty && !isStarting { finish() }
    }

    private func timeIsUp() {
        let left = runs
        runs = []
        for run in left {
            let text = "on_close has not ended within \(time / 1_000_000) ms and is given up"
            failed(Int(run.current), LuaError(reason: .time, message: text), .timeLimit)
            engine.host?.end(run)
        }
        finish()
    }

    private func failed(_ index: Int, _ error: LuaError, _ reason: PolicyErrorReason) {
        engine.instances[index].cells.countError(.onClose, reason)
        engine.log(error, of: index, .onClose)
    }

    private func finish() {
        withExtendedLifetime(self) {
            alarm = nil
            engine.closing = nil
            whenDone()
        }
    }
}

/// The engines of one worker that are closing.
final class PolicyClosings {
    private var active = 0
    /// Called whenever none is left.
    var idle: (() -> Void)?

    var isIdle: Bool { active == 0 }

    func begin(_ engine: PolicyEngine, within time: UInt64) {
        active += 1
        engine.close(within: time) { [self] in
            active -= 1
            if active == 0 { idle?() }
        }
    }
}
