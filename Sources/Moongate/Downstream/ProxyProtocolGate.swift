import CMoongate
import Glibc

/// Who may say by the PROXY protocol for whom a connection speaks.
struct ProxyProtocolRules: Sendable {
    /// A connection without a header is refused; else it speaks for itself.
    let isRequired: Bool
    /// `nil`: everybody.
    let trusted: CIDRSet?
    /// Nanoseconds from the accept to the end of the header.
    let timeout: UInt64

    func trusts(_ peer: SocketAddress) -> Bool { trusted?.contains(peer) ?? true }
}

/// A connection whose PROXY header has still to come: nothing of it is read but that.
final class ProxyProtocolGate: EventHandler {
    /// `nil`: the connection is refused, and closed.
    typealias Outcome = (ProxyProtocolHeader?) -> Void

    private let loop: EventLoop
    private let descriptor: Int32
    private let rules: ProxyProtocolRules
    private let outcome: Outcome
    private var timer: OwnedTimer?
    private var isDone = false

    init(loop: EventLoop, descriptor: Int32, rules: ProxyProtocolRules, outcome: @escaping Outcome) {
        self.loop = loop
        self.descriptor = descriptor
        self.rules = rules
        self.outcome = outcome
        super.init()
        let timer = OwnedTimer(loop) { [weak self] in self?.refuse() }
        self.timer = timer
        timer.set(after: rules.timeout)
        do {
            // Edge-triggered: bytes that are only looked at would be reported without end.
            try loop.add(descriptor, EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue, self)
        } catch {
            timer.set(after: 0)
        }
    }

    /// Refuses the connection now.
    func refuse() {
        guard !isDone else { return }
        finish()
        Socket.close(descriptor)
        outcome(nil)
    }

    override func ready(_ events: UInt32) {
        guard !isDone, let base = loop.readBuffer.baseAddress else { return }
        let count = recv(descriptor, base, ProxyProtocolHeader.longest, Int32(MSG_PEEK))
        guard count > 0 else {
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            return refuse()
        }
        switch ProxyProtocolHeader.read(Bytes(base.assumingMemoryBound(to: UInt8.self), count)) {
        case .incomplete:
            if events & (EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { refuse() }
        case .header(let header, let length):
            guard recv(descriptor, base, length, 0) == length else { return refuse() }
            finish()
            outcome(header)
        case .absent:
            if rules.isRequired { return refuse() }
            finish()
            outcome(ProxyProtocolHeader())
        case .malformed:
            refuse()
        }
    }

    private func finish() {
        isDone = true
        timer = nil
        loop.remove(descriptor)
        loop.bury(self)
    }
}
