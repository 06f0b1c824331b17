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
    /// Without a header the connection was refused, and closed; the text says why.
    typealias Outcome = (ProxyProtocolHeader?, _ refusal: String?) -> Void

    private let loop: EventLoop
    private let descriptor: Int32
    private let rules: ProxyProtocolRules
    /// Called once; set before the loop's next turn.
    var outcome: Outcome = { _, _ in }
    private var timer: OwnedTimer?
    private var isDone = false

    init(loop: EventLoop, descriptor: Int32, rules: ProxyProtocolRules) {
        self.loop = loop
        self.descriptor = descriptor
        self.rules = rules
        super.init()
        let timer = OwnedTimer(loop) { [weak self] in
            self?.refuse("no header within \(rules.timeout / 1_000_000) ms")
        }
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
    /// - Parameter reason: `nil`: the client has left by itself.
    func refuse(_ reason: String?) {
        guard !isDone else { return }
        finish()
        Socket.close(descriptor)
        outcome(nil, reason.map { "PROXY protocol: \($0)" })
    }

    /// Leaves the connection as it is, and forgets it.
    func giveUp() {
        if !isDone { finish() }
    }

    override func ready(_ events: UInt32) {
        guard !isDone, let base = loop.readBuffer.baseAddress else { return }
        let count = recv(descriptor, base, ProxyProtocolHeader.longest, Int32(MSG_PEEK))
        guard count > 0 else {
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            return refuse(nil)
        }
        switch ProxyProtocolHeader.read(Bytes(base.assumingMemoryBound(to: UInt8.self), count)) {
        case .incomplete:
            if events & (EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { refuse(nil) }
        case .header(let header, let length):
            guard recv(descriptor, base, length, 0) == length else { return refuse(nil) }
            finish()
            outcome(header, nil)
        case .absent:
            if rules.isRequired { return refuse("no header") }
            finish()
            outcome(ProxyProtocolHeader(), nil)
        case .malformed:
            refuse("malformed header")
        }
    }

    private func finish() {
        isDone = true
        timer = nil
        loop.remove(descriptor)
        loop.releaseLater(self)
    }
}
