/// The last moments of a worker: policies may still send what they have kept, in `on_log` and `on_close`, and the calls that
/// nobody waits for may end. Then, or when the time is up, its loop stops.
final class WorkerEnding {
    private let loop: EventLoop
    private let closings: PolicyClosings
    private let calls: UpstreamCalls
    private var timer: OwnedTimer?
    private var isBegun = false

    init(_ loop: EventLoop, _ closings: PolicyClosings, _ calls: UpstreamCalls) {
        self.loop = loop
        self.closings = closings
        self.calls = calls
    }

    /// - Parameters:
    ///   - time: nanoseconds.
    ///   - close: ends the policies in force; called when the streams that have been ended have had their turn.
    func begin(within time: UInt64, _ close: @escaping () -> Void) {
        guard !isBegun else { return }
        isBegun = true
        let step = OwnedTimer(loop) { [weak self] in
            close()
            self?.closed(within: time)
        }
        timer = step
        step.set(after: 0)
    }

    private func closed(within time: UInt64) {
        let timer = OwnedTimer(loop) { [loop] in loop.stop() }
        self.timer = timer
        timer.set(after: time)
        closings.idle = { [weak self] in self?.look() }
        calls.aloneEnded = { [weak self] in self?.look() }
        look()
    }

    private func look() { if closings.isIdle && !calls.hasAlone { loop.stop() } }
}
