import MoongateConfig

/// The connections of one worker whose PROXY header has still to come.
final class ProxyProtocolGates {
    /// What becomes of a connection: it goes on for whom the header names, or `nil`: it was refused, and closed.
    typealias Outcome = (AcceptedConnection, ProxyProtocolHeader?) -> Void

    private struct Waiting {
        let accepted: AcceptedConnection
        let gate: ProxyProtocolGate
    }

    private let loop: EventLoop
    private let refusals: RefusalLog
    private let outcome: Outcome
    /// There were too many, and this one, not closed yet, had waited for longest.
    private let drop: (AcceptedConnection) -> Void
    private let waiting = PendingHandshakes<Waiting>()
    private var whenEmpty: (() -> Void)?
    private var closing: OwnedTimer?

    /// How long a header may take when the edge shuts down, in nanoseconds.
    private static let lastHeaders: UInt64 = 1_000_000_000

    init(
        loop: EventLoop, refusals: RefusalLog, outcome: @escaping Outcome, drop: @escaping (AcceptedConnection) -> Void
    ) {
        self.loop = loop
        self.refusals = refusals
        self.outcome = outcome
        self.drop = drop
    }

    /// Lets a connection pass when its header has come.
    func hold(_ accepted: AcceptedConnection, _ rules: ProxyProtocolRules) {
        guard rules.trusts(accepted.remote) else {
            if !rules.isRequired { return outcome(accepted, ProxyProtocolHeader()) }
            Socket.close(accepted.descriptor)
            return refused(accepted, "PROXY protocol: not trusted")
        }
        let gate = ProxyProtocolGate(loop: loop, descriptor: accepted.descriptor, rules: rules)
        let place = waiting.begin(
            Waiting(accepted: accepted, gate: gate), limit: accepted.listener.limits.pendingHandshakes)
        gate.outcome = { [weak self] header, reason in
            guard let self else { return }
            waiting.end(place.number)
            if header == nil { refused(accepted, reason) } else { outcome(accepted, header) }
            reportIfEmpty()
        }
        guard let excess = place.excess else { return }
        excess.gate.giveUp()
        drop(excess.accepted)
    }

    /// Lets those pass whose header comes in a moment, since they were accepted and told so, and refuses the others.
    /// - Parameter whenEmpty: called once, when none waits.
    func close(_ whenEmpty: @escaping () -> Void) {
        self.whenEmpty = whenEmpty
        let timer = OwnedTimer(loop) { [weak self] in self?.refuseAll() }
        timer.set(after: ProxyProtocolGates.lastHeaders)
        closing = timer
        reportIfEmpty()
    }

    private func refuseAll() { for entry in waiting.all { entry.gate.refuse("the edge shuts down") } }

    private func reportIfEmpty() {
        guard let whenEmpty, waiting.isEmpty else { return }
        self.whenEmpty = nil
        closing = nil
        whenEmpty()
    }

    private func refused(_ accepted: AcceptedConnection, _ reason: String?) {
        if let reason {
            refusals.note(
                reason, listener: accepted.listener.name, remote: accepted.remote.description, now: loop.now)
        }
        outcome(accepted, nil)
    }
}

extension ProxyProtocolRules {
    /// - Throws: what is wrong with the trusted addresses.
    init(_ config: ProxyProtocolConfig) throws(Diagnostic) {
        isRequired = config.mode == .required
        timeout = config.timeout.nanoseconds
        do throws(CIDRFault) {
            trusted = config.trusted.isEmpty ? nil : try CIDRSet(parsing: config.trusted)
        } catch {
            throw Diagnostic(location: .unknown, message: "proxy_protocol: \(error.message)", hint: error.hint)
        }
    }
}
