import MoongateLua

/// What a host knows of runs that exceed their time limit: the process's ledger, with its numbers of the host's policies.
final class PolicyOverruns {
    fileprivate let ledger: OverrunLedger
    /// By instance: all uses of a file are one policy.
    private let numbers: [OverrunBook.Policy]

    init(_ ledger: OverrunLedger, _ program: PolicyProgram) {
        self.ledger = ledger
        numbers = program.instances.map { instance in
            let file = program.files[instance.file]
            return ledger.number(of: "\(file.path)\n\(file.chunkName)")
        }
    }

    @inline(__always) var isActive: Bool { ledger.isActive }

    fileprivate func number(of instance: Int32) -> OverrunBook.Policy? {
        numbers.indices.contains(Int(instance)) ? numbers[Int(instance)] : nil
    }
}

/// Who overruns, pays: a client that has a policy exceed its time limit again and again gets nothing from it for a while.
extension Pooled where Record == PolicyRunRecord {
    /// Whether the run's client is barred from an instance's policy at present; counted if so.
    @inline(__always) func isBarred(from instance: Int32) -> Bool {
        pointer.pointee.host._withUnsafeGuaranteedRef { $0.overruns?.isActive == true } && looksBarred(from: instance)
    }

    @inline(never) private func looksBarred(from instance: Int32) -> Bool {
        let host = pointer.pointee.host.takeUnretainedValue()
        guard let client = pointer.pointee.subject.client, let overruns = host.overruns,
            let policy = overruns.number(of: instance),
            overruns.ledger.isBarred(ClientNetwork(client.socket), from: policy, at: Clock.now())
        else { return false }
        host.instances[Int(instance)].cells.countOverrunRefusal()
        return true
    }

    /// The current hook has exceeded its time limit.
    /// - Returns: whether the client is barred from the policy because of that.
    @inline(never) func overran() -> Bool {
        let host = pointer.pointee.host.takeUnretainedValue()
        let instance = pointer.pointee.current
        guard let overruns = host.overruns, let policy = overruns.number(of: instance) else { return false }
        let client = pointer.pointee.phase == .timer ? nil : pointer.pointee.subject.client
        let network = client.map { ClientNetwork($0.socket) }
        let judgement = overruns.ledger.overran(policy, for: network, at: Clock.now())
        if judgement.isWidespread { host.tellOfOverruns(instance, isTimer: network == nil) }
        if judgement.isNew, let client, let bar = judgement.bar { host.tellOfBar(instance, client, bar) }
        return judgement.bar != nil
    }
}

extension PolicyHost {
    fileprivate func tellOfOverruns(_ instance: Int32, isTimer: Bool) {
        instances[Int(instance)].cells.countWidespreadOverrun()
        services.logger.error(
            isTimer
                ? "a policy exceeds its time limit in a timer"
                : "a policy exceeds its time limit for many clients: it is too slow, or its limit too short",
            metadata: ["policy": "\(program.instances[Int(instance)].name)"])
    }

    fileprivate func tellOfBar(_ instance: Int32, _ client: ClientAddress, _ bar: UInt64) {
        services.logger.warning(
            "a client has a policy exceed its time limit again and again: it is refused for a while",
            metadata: [
                "policy": "\(program.instances[Int(instance)].name)", "client": "\(client.host.string)",
                "seconds": "\(bar / OverrunBook.second)",
            ])
    }
}
