import CMoongate
import Glibc

/// One attempt to connect to an endpoint, TLS included, with its time limit.
final class Connector: EventHandler {
    private let endpoint: Endpoint
    private let descriptor: Int32
    private var timer: OwnedTimer?
    /// TLS that is being agreed on; `nil` until the connection is there, and in cleartext.
    private var session: TLSSession?
    private var isDone = false

    /// - Throws: when not even the attempt can be made.
    init(_ endpoint: Endpoint) throws(IOFailure) {
        self.endpoint = endpoint
        descriptor = try Socket.connect(to: endpoint.address)
        super.init()
        Socket.setNoDelay(descriptor)
        Socket.setDeadPeerTimeout(descriptor, seconds: endpoint.lifetime.deadPeerSeconds)
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
        session = nil
        Socket.close(descriptor)
    }

    override func ready(_ events: UInt32) {
        guard !isDone else { return }
        if session != nil { return handshake() }
        if let failure = Socket.connectFailure(descriptor) { return fail(ConnectTrouble(failure.description)) }
        guard let peer = endpoint.tls else {
            finish()
            return endpoint.connected(Transport(plain: descriptor))
        }
        guard let session = TLSSession(to: peer, fd: descriptor) else {
            return fail(ConnectTrouble("TLS: out of memory"))
        }
        self.session = session
        handshake()
    }

    private func handshake() {
        guard let session else { return }
        switch session.handshake() {
        case .finished:
            finish()
            self.session = nil
            endpoint.connected(Transport(tls: session))
        case .wouldBlockRead: wait(for: EPOLLIN.rawValue)
        case .wouldBlockWrite: wait(for: EPOLLOUT.rawValue)
        case .failed(let failure):
            fail(ConnectTrouble(told: "TLS: \(failure.reason)", detail: "TLS: \(session.failureText)"))
        }
    }

    private func wait(for events: UInt32) {
        do {
            try endpoint.services.loop.modify(descriptor, events, self)
        } catch {
            fail(ConnectTrouble(error.description))
        }
    }

    private func timedOut() {
        guard !isDone else { return }
        let step = session == nil ? "no answer" : "TLS: no answer"
        fail(ConnectTrouble("\(step) within \(endpoint.connectTimeout / 1_000_000) ms"))
    }

    private func fail(_ trouble: ConnectTrouble) {
        cancel()
        endpoint.connectFailed(trouble)
    }

    private func finish() {
        isDone = true
        timer = nil
        endpoint.services.loop.remove(descriptor)
        endpoint.services.loop.releaseLater(self)
    }
}
