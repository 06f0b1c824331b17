import CMoongate
import MoongateLua

/// The end of a policy that has served: its `on_close` hooks run, last one first, and may wait and call upstreams until the
/// time is up, which counts from the moment when the last of them has begun. Keeps the engine until all of them have ended or were given up.
///
/// They wait at the same time, each in a run without an exchange, as timers have. Like other runs they begin in a later turn where the time
/// of scripts in this one is over.
final class PolicyClosing {
    /// Nanoseconds that the hooks of one engine have in all.
    static let limit: UInt64 = 1_000_000_000

    private let engine: PolicyEngine
    private let time: UInt64
    private let whenDone: () -> Void
    /// The instances whose hooks have not begun, in their order.
    private var left: [Int] = []
    /// Those that wait.
    private var runs: [PolicyRun] = []
    private var alarm: (any PolicyAlarm)?
    private var isOver = false

    init(_ engine: PolicyEngine, within time: UInt64, _ whenDone: @escaping () -> Void) {
        self.engine = engine
        self.time = time
        self.whenDone = whenDone
    }

    /// On the thread that owns the VM.
    func begin() {
        left = (0..<engine.unit.instances.count).reversed().filter { engine.instances[$0].close != 0 }
        beginHooks()
    }

    /// All have begun, and some wait.
    private func limit() {
        // Without a loop nothing would ever go on.
        guard let alarm = engine.host?.makeAlarm?(.sleep, { [weak self] in self?.timeIsUp() }) else {
            return timeIsUp()
        }
        self.alarm = alarm
        alarm.set(after: time)
    }

    private func beginHooks() {
        while let index = left.first {
            if mg_turn_is_spent() && postpone() { return }
            left.removeFirst()
            begin(index)
        }
        if runs.isEmpty { finish() } else { limit() }
    }

    private func postpone() -> Bool {
        let step = PolicyStep(.close) { [weak self] in self?.beginHooks() }
        return engine.host?.turn.postpone(step, .timers(ObjectIdentifier(engine))) == true
    }

    private func begin(_ index: Int) {
        guard let run = engine.host?.begin(owner: nil, engine.instances) else {
            return failed(index, LuaError(reason: .memory, message: "no memory for on_close"), .memoryLimit)
        }
        if run.startClose(Int32(index)) == .pause { runs.append(run) } else { engine.host?.end(run) }
    }

    /// A hook that waited has come to its end, or failed.
    func ended(_ run: PolicyRun) {
        guard let place = runs.firstIndex(of: run) else { return }
        runs.remove(at: place)
        engine.host?.end(run)
        finishIfDone()
    }

    private func finishIfDone() { if left.isEmpty && runs.isEmpty { finish() } }

    private func timeIsUp() {
        guard !isOver else { return }
        let waiting = runs
        runs = []
        for run in waiting {
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
        guard !isOver else { return }
        isOver = true
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
