/// The policies of a generation on a worker: its instances, each with the script engine that runs it.
final class PolicySet {
    let program: PolicyProgram
    let host: PolicyHost
    /// By the program's units; keep the engines in service.
    let leases: [PolicyEngineLease]
    /// By the program's numbers.
    let instances: UnsafeMutablePointer<PolicyInstance>
    /// Some instance has a log hook.
    let hasLogHooks: Bool

    /// - Parameter leases: one for each unit of the program.
    init(_ program: PolicyProgram, _ leases: [PolicyEngineLease], host: PolicyHost) {
        self.program = program
        self.leases = leases
        self.host = host
        instances = .allocate(capacity: max(1, program.places.count))
        for (number, place) in program.places.enumerated() {
            (instances + number).initialize(to: leases[place.unit].engine.instances[place.index])
        }
        hasLogHooks = program.places.indices.contains { [instances] in instances[$0].log != 0 }
    }

    deinit { instances.deallocate() }

    /// The same with another engine of a unit in the place of an old one.
    func replacing(_ old: PolicyEngine, by lease: PolicyEngineLease) -> PolicySet {
        PolicySet(program, leases.map { $0.engine === old ? lease : $0 }, host: host)
    }

    /// A run for one exchange, whose subject the caller fills in.
    func begin(owner: UnsafeMutableRawPointer?) -> PolicyRun? { host.begin(owner: owner, instances) }

    func end(_ run: PolicyRun) { host.end(run) }

    /// It is the worker's newest: timers of its policies run from now on, and call upstreams of `directory`.
    func serve(_ directory: UpstreamDirectory) {
        host.newest = self
        host.memory.limit = program.memoryLimit
        for lease in leases {
            lease.engine.upstreams = directory
            lease.engine.timers.start(lease.engine)
        }
    }

    /// The worker ends: closes the policies.
    /// - Parameter time: nanoseconds that their last hooks may wait.
    func end(within time: UInt64) { for lease in leases.reversed() { lease.end(within: time) } }

    /// Another one is the newest: engines that this one does not share with it only serve the exchanges that have begun.
    func retire(for next: PolicySet?) {
        for lease in leases where !isShared(lease, with: next) { lease.engine.retire() }
    }

    /// Whether it has engines that `next` has not.
    func hasRetired(beside next: PolicySet?) -> Bool { leases.contains { !isShared($0, with: next) } }

    private func isShared(_ lease: PolicyEngineLease, with next: PolicySet?) -> Bool {
        next?.leases.contains { $0 === lease } == true
    }
}
