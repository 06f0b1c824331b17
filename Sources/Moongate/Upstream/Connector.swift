import CMoongate
import Glibc

/// One attempt to connect to an endpoint, with its time limit.
final class Connector: EventHandler {
    private let endpoint: Endpoint
    private let descriptor: Int32
    private var timer: OwnedTimer?
    private var isDone = false

    /// - Throws: when not even the attempt can be made.
    init(_ endpoint: Endpoint) throws(IOFailure) {
        self.endpoint = endpoint
        descriptor = try Socket.connect(to: endpoint.address)
        super.init()
        Socket.setNoDelay(descriptor)
        Socket.setDeadPeerTimeout(descriptor)
        let loop = endpoint.services.loop
        let timer = OwnedTimer(loop) { [weak self] in self?.timedOut() }
        self.timer = timer
        timer.set(after: endpoint.connectTimeout)
        do {
            try loop.add(descriptor, UInt32(EPOLLOUT.rawValue), self)
        } catch {
            // Reported by the timer's path, so that the caller never hears twice.
            timer.set(after: 0)
        }
    }

    /// Nothing is reported any more.
    func cancel() {
        finish()
        Socket.close(descriptor)
    }

    override func ready(_ events: UInt32) {
        guard !isDone else { return }
        if let failure = Socket.connectFailure(descriptor) {
            cancel()
            return endpoint.connectFailed(failure.description)
        }
        finish()
        endpoint.connected(Transport(plain: descriptor))
    }

    private func timedOut() {
        guard !isDone else { return }
        cancel()
        endpoint.connectFailed("no answer within \(endpoint.connectTimeout / 1_000_000) ms")
    }

    private func finish() {
        isDone = true
        timer = nil
        endpoint.services.loop.remove(descriptor)
        endpoint.services.loop.bury(self)
    }
}
