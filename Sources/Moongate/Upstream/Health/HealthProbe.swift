import CMoongate
import Glibc
import MoongateConfig

/// One way of asking an endpoint for its health. On the health monitor's thread.
class HealthProbe {
    /// Asks once, and reports once, after this function has returned.
    func run(_ ended: @escaping (CheckResult) -> Void) {}

    /// Nothing is reported any more.
    func cancel() {}
}

/// A connection that comes about is enough.
final class ConnectProbe: HealthProbe {
    private let loop: EventLoop
    private let address: SocketAddress
    private let timeout: UInt64
    private var attempt: ConnectAttempt?

    init(_ address: SocketAddress, loop: EventLoop, timeout: UInt64) {
        self.address = address
        self.loop = loop
        self.timeout = timeout
    }

    override func run(_ ended: @escaping (CheckResult) -> Void) {
        attempt = ConnectAttempt(address, loop: loop, timeout: timeout) { [weak self] result in
            self?.attempt = nil
            ended(result)
        }
    }

    override func cancel() {
        attempt?.cancel()
        attempt = nil
    }
}

/// One connection that is closed as soon as it has come about, or failed to.
private final class ConnectAttempt: EventHandler {
    private let loop: EventLoop
    private let timeout: UInt64
    private var descriptor: Int32 = -1
    private var timer: OwnedTimer?
    private var early: CheckResult?
    private var ended: ((CheckResult) -> Void)?

    init(_ address: SocketAddress, loop: EventLoop, timeout: UInt64, _ ended: @escaping (CheckResult) -> Void) {
        self.loop = loop
        self.timeout = timeout
        self.ended = ended
        super.init()
        let timer = OwnedTimer(loop) { [weak self] in self?.timeIsUp() }
        self.timer = timer
        timer.set(after: timeout)
        do {
            descriptor = try Socket.connect(to: address)
            try loop.add(descriptor, UInt32(EPOLLOUT.rawValue), self)
        } catch {
            // By the timer, so that whoever asked never hears before the call has returned.
            early = .silent("\(error)")
            timer.set(after: 0)
        }
    }

    override func ready(_ events: UInt32) {
        guard ended != nil else { return }
        let failure = Socket.connectFailure(descriptor)
        finish(failure.map { .silent($0.description) } ?? .passed)
    }

    private func timeIsUp() { finish(early ?? .silent("no answer within \(timeout / 1_000_000) ms")) }

    private func finish(_ result: CheckResult) {
        let ended = ended
        cancel()
        ended?(result)
    }

    func cancel() {
        ended = nil
        timer?.clear()
        loop.releaseLater(self)
        guard descriptor >= 0 else { return }
        loop.remove(descriptor)
        Socket.close(descriptor)
        descriptor = -1
    }
}
