import MoongateConfig

/// The connections of one worker whose PROXY header has still to come.
final class ProxyProtocolGates {
    /// What becomes of a connection: it goes on for whom the header names, or `nil`: it was refused, and closed.
    typealias Outcome = (AcceptedConnection, ProxyProtocolHeader?) -> Void

    private let loop: EventLoop
    private let refusals: RefusalLog
    private let outcome: Outcome
    private var waiting: [Int32: ProxyProtocolGate] = [:]

    init(loop: EventLoop, refusals: RefusalLog, outcome: @escaping Outcome) {
        self.loop = loop
        self.refusals = refusals
        self.outcome = outcome
    }

    /// Lets a connection pass when its header has come.
    func hold(_ accepted: AcceptedConnection, _ rules: ProxyProtocolRules) {
        guard rules.trusts(accepted.remote) else {
            if !rules.isRequired { return outcome(accepted, ProxyProtocolHeader()) }
            Socket.close(accepted.descriptor)
            return refused(accepted, "PROXY protocol: not trusted")
        }
        let descriptor = accepted.descriptor
        let gate = ProxyProtocolGate(loop: loop, descriptor: descriptor, rules: rules) { [weak self] header, reason in
            guard let self else { return }
            waiting[descriptor] = nil
            if header == nil { refused(accepted, reason) } else { outcome(accepted, header) }
        }
        waiting[descriptor] = gate
    }

    /// Refuses all that wait.
    func close() { for gate in waiting.values { gate.refuse("the edge shuts down") } }

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
