/// A timer for objects off the way of a request: allocated, cleared when it goes.
final class OwnedTimer {
    private let loop: EventLoop
    private let timer: UnsafeMutablePointer<Timer>
    private let action: () -> Void

    init(_ loop: EventLoop, _ action: @escaping () -> Void) {
        self.loop = loop
        self.action = action
        timer = .allocate(capacity: 1)
        timer.initialize(to: Timer())
        timer.pointee.target = Unmanaged.passUnretained(self).toOpaque()
        timer.pointee.action = { target in Unmanaged<OwnedTimer>.fromOpaque(target).takeUnretainedValue().action() }
    }

    deinit {
        loop.clear(timer)
        timer.deallocate()
    }

    /// Fires once, `nanoseconds` from now, instead of whenever it was set to.
    func set(after nanoseconds: UInt64) { loop.set(timer, at: loop.now &+ nanoseconds) }

    func clear() { loop.clear(timer) }
}
