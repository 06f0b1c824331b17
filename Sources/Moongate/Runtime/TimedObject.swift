/// An object off the way of a request that does something when its time has come. Its timer ends with it.
class TimedObject {
    let loop: EventLoop
    private let timer: UnsafeMutablePointer<Timer>

    init(_ loop: EventLoop) {
        self.loop = loop
        timer = .allocate(capacity: 1)
        timer.initialize(to: Timer())
        timer.pointee.target = Unmanaged.passUnretained(self).toOpaque()
        timer.pointee.action = { target in Unmanaged<TimedObject>.fromOpaque(target).takeUnretainedValue().timeIsUp() }
    }

    deinit {
        loop.clear(timer)
        timer.deallocate()
    }

    /// For subclasses. The object may give itself up meanwhile.
    func timeIsUp() {}

    /// `timeIsUp` is called once, `nanoseconds` from now, instead of whenever it was to be.
    final func set(after nanoseconds: UInt64) { loop.set(timer, at: loop.now &+ nanoseconds) }

    final func clear() { loop.clear(timer) }
}

/// A timer that calls a closure.
final class OwnedTimer: TimedObject {
    private let action: () -> Void

    init(_ loop: EventLoop, _ action: @escaping () -> Void) {
        self.action = action
        super.init(loop)
    }

    override func timeIsUp() { action() }
}
