import Logging
import MoongateConfig

/// One event loop thread with everything that lives on it: clients' connections, upstreams, exchanges.
///
/// Made and used on its own thread; others reach it through its loop's mailbox.
final class Worker: ConnectionOwner {
    let index: Int
    let loop: EventLoop
    private let shared: ConnectionShared
    private let host: ExchangeHost
    private let downstreamStreams: DownstreamStreams
    private let upstreamServices: UpstreamServices
    private let calls: UpstreamCalls
    private let registry: MetricsRegistry
    private let distributor: ConnectionDistributor
    private var upstreams: [String: Upstream] = [:]
    private let connections: WorkerConnections
    let policies: PolicyHost
    private let replacement: EngineReplacement
    private let oldGenerations: OldGenerations
    private var gates: ProxyProtocolGates?
    private var arrivals: Arrivals<AcceptedConnection>?
    private let refusals: RefusalLog
    private let abuses: AbuseLog
    private let pending = PendingHandshakes<DownstreamConnection>()
    private let ending: WorkerEnding

    init(_ plan: WorkerPlan, loop: EventLoop) throws(SystemError) {
        index = plan.index
        self.loop = loop
        registry = plan.registry
        distributor = plan.distributor
        refusals = RefusalLog(plan.log)
        abuses = AbuseLog(plan.log)
        shared = ConnectionShared()
        connections = WorkerConnections(
            lingering: LingeringConnections(
                limit: LingeringConnections.limit(descriptors: FileLimit.soft(), workers: plan.registry.workers)))
        calls = UpstreamCalls(loop: loop)
        upstreamServices = UpstreamServices(loop: loop, shared: shared, resolver: plan.resolver, abuses: abuses)
        policies = Worker.policyHost(plan, loop)
        ending = WorkerEnding(loop, policies.closings, calls)
        var upstreams: [String: Upstream] = [:]
        let first = Worker.generation(
            plan.generation, plan.index, plan.registry, upstreamServices, &upstreams, calls,
            Worker.policies(plan.generation.program, plan.engines, nil, policies))
        self.upstreams = upstreams
        host = ExchangeHost(
            loop: loop, generation: first, accessLog: plan.accessLog.logger(worker: plan.index),
            overload: plan.registry.overload, worker: plan.index)
        downstreamStreams = DownstreamStreams(host)
        replacement = EngineReplacement(loop: loop, cells: registry.worker(plan.index))
        oldGenerations = OldGenerations(loop: loop, cells: registry.worker(plan.index))
        super.init()
        oldGenerations.endStreams = { [weak self] in self?.endStreams(of: $0) ?? 0 }
        gates = ProxyProtocolGates(loop: loop, refusals: refusals) { [weak self] accepted, header in
            self?.introduced(accepted, header)
        } drop: { [weak self] in
            self?.refuse($0)
        }
        arrivals = Arrivals(loop: loop) { [weak self] in
            self?.take($0)
        } drop: { [weak self] in
            self?.refuse($0)
        }
        replacement.adopt = { [weak self] old, new in self?.replace(old, by: new) }
        replacement.watch(first.policies?.leases.map(\.engine) ?? [])
        first.startPolicies()
        loop.turns = registry.worker(index).loopTurns
    }

    // MARK: Clients

    func accept(_ accepted: AcceptedConnection) {
        arrivals?.add(accepted, limit: accepted.listener.limits.pendingHandshakes)
    }

    private func take(_ accepted: AcceptedConnection) {
        guard let rules = accepted.listener.proxyProtocol else { return begin(accepted, ProxyProtocolHeader()) }
        gates?.hold(accepted, rules)
    }

    /// More come than can be looked at.
    private func refuse(_ accepted: AcceptedConnection) {
        let cells = ListenerCells(row: registry.listeners.entry(accepted.listener.name).block.row(index))
        cells.refused(.pendingHandshakes).add()
        refusals.note(
            RefusalLog.tooManyHandshakes, listener: accepted.listener.name, remote: accepted.remote.description,
            now: loop.now)
        Socket.close(accepted.descriptor)
        distributor.connectionEnded(worker: index)
    }

    /// A proxy has said for whom it connects, or has been refused.
    private func introduced(_ accepted: AcceptedConnection, _ header: ProxyProtocolHeader?) {
        if let header {
            if accepted.permit.move(to: header.source ?? accepted.remote, accepted.listener, row: index, at: loop.now) {
                return begin(accepted, header)
            }
            Socket.close(accepted.descriptor)
            return distributor.connectionEnded(worker: index)
        }
        let counters = registry.listeners.entry(accepted.listener.name)
        ListenerCells(row: counters.block.row(index)).proxyProtocolFailures.add()
        distributor.connectionEnded(worker: index)
    }

    private func begin(_ accepted: AcceptedConnection, _ header: ProxyProtocolHeader) {
        // What it is to be held to is gone with its listener.
        guard host.knows(accepted.listener.identity) else {
            Socket.close(accepted.descriptor)
            return distributor.connectionEnded(worker: index)
        }
        Socket.setNoDelay(accepted.descriptor)
        let transport =
            accepted.listener.tls.map { Transport(awaiting: $0, fd: accepted.descriptor) }
            ?? Transport(plain: accepted.descriptor)
        let facts = ConnectionFacts(
            listener: accepted.listener.identity, listenerName: accepted.listener.name,
            peer: header.source ?? accepted.remote, local: header.destination ?? accepted.local,
            direct: (accepted.remote, accepted.local), forwarding: accepted.listener.forwardClientCertificate)
        let services = DownstreamServices(
            worker: index, loop: loop, shared: shared, streams: downstreamStreams, owner: self,
            refusals: refusals, abuses: abuses, pending: pending, lingering: connections.lingering)
        let connection = DownstreamConnection(
            services: services, transport: transport, facts: facts, settings: accepted.listener,
            permit: accepted.permit, metrics: registry.listeners.entry(accepted.listener.name))
        connections.insert(connection)
        connection.begin()
    }

    override func connectionClosed(_ connection: DownstreamConnection) {
        connections.remove(connection)
        if !connection.isLingering { distributor.connectionEnded(worker: index) }
        forgetListeners()
    }

    override func lingeringEnded() {
        distributor.connectionEnded(worker: index)
        connections.lingeringEnded()
    }

    private func forgetListeners() {
        host.forgetListeners { [connections] listener in connections.contains { $0.facts.listener == listener } }
    }

    override func endStreams(of connection: DownstreamConnection) {
        connection.io.forEachOwner { Exchange(owner: $0).end(.connectionTooOld) }
    }

    /// What has begun and not ended. Nothing of it may be left for long once all clients have gone.
    var underWay: (exchanges: Int, calls: Int) { (host.active, calls.active) }

    // MARK: Generations

    /// - Parameter engines: those of the generation's policies that do not run yet.
    func adopt(_ shared: Generation, _ engines: Handover<[PolicyEngine]>?) {
        let previous = host.generation
        let set = Worker.policies(shared.program, engines, previous.policies, policies)
        serve(Worker.generation(shared, index, registry, upstreamServices, &upstreams, calls, set))
        connections.drain { host.generation.shared.listenerIndex($0.facts.listener) < 0 }
        forgetListeners()
    }

    /// A new engine for a policy in force. Exchanges that have entered the old one keep it.
    private func replace(_ old: PolicyEngine, by new: PolicyEngine) {
        let current = host.generation
        guard let set = current.policies, set.leases.contains(where: { $0.engine === old }) else { return }
        let next = current.with(set.replacing(old, by: PolicyEngineLease(new, on: policies)))
        serve(next)
        // Only exchanges that have entered the old engine keep it. The last use of `current` may close it, which runs scripts.
        withExtendedLifetime(current) {
            connections.forEach { connection in
                connection.io.inspectStreams { stream in
                    guard let owner = stream.owner else { return }
                    Exchange(owner: owner).change(from: current, to: next, without: old)
                }
            }
        }
    }

    private func serve(_ next: WorkerGeneration) {
        let previous = host.generation
        host.use(next)
        next.startPolicies()
        previous.policies?.retire(for: next.policies)
        oldGenerations.replaced(previous, by: next)
        replacement.watch(next.policies?.leases.map(\.engine) ?? [])
    }

    // MARK: The end

    /// Sends GOAWAY to all clients. To be called when the last connection has been handed over.
    /// - Parameter whenDone: called once no connection is left.
    func drain(_ whenDone: @escaping @Sendable () -> Void) {
        arrivals?.takeAll()
        connections.drain { _ in true }
        // Those whose header has come by then are connections as well.
        gates?.close { [connections] in connections.drainAll(whenDone) }
    }

    /// Ends every stream with `UNAVAILABLE`.
    func endStreams() {
        connections.lingering.endAll()
        connections.forEach { connection in
            connection.io.forEachOwner { Exchange(owner: $0).end(.draining) }
        }
    }

    /// Has the worker's loop stop, once policies have sent what they had kept.
    /// - Parameter time: nanoseconds that they have.
    func finish(within time: UInt64) {
        endStreams()
        ending.begin(within: time) { [host] in host.generation.policies?.end(within: time) }
    }

    /// Ends the streams that hold most of bodies, until those that ended held `bytes` in all; streams that hold nothing
    /// go on.
    func shed(_ bytes: UInt64) {
        var holders: [(connection: DownstreamConnection, id: Int32, held: Int)] = []
        connections.forEach { connection in
            connection.io.inspectStreams { stream in
                guard let owner = stream.owner else { return }
                let exchange = Exchange(owner: owner)
                let held = exchange.heldRequest.total + exchange.heldResponse.total
                if held > 0 { holders.append((connection, stream.id, held)) }
            }
        }
        holders.sort { $0.held > $1.held }
        var left = Int(clamping: bytes)
        for holder in holders where left > 0 {
            // One that ended with another before it has given its part back.
            guard let owner = holder.connection.io.streams[holder.id]?.owner else { continue }
            left -= holder.held
            Exchange(owner: owner).shed()
            host.overload.streamReset()
        }
    }

    /// Memory is short: ends what requests under way can do without, before any of them is refused or ended.
    func dropCopies() {
        host.mirrorStreams.dropAll()
        calls.dropAlone()
        connections.lingering.endThoseThatHold()
        connections.forEach { connection in connection.io.forEachOwner { Exchange(owner: $0).forgoCopies() } }
        loop.memory.settle()
    }

    /// Ends the streams of one generation with `UNAVAILABLE`.
    private func endStreams(of generation: WorkerGeneration) -> Int {
        var count = 0
        connections.forEach { connection in
            connection.io.forEachOwner { owner in
                let exchange = Exchange(owner: owner)
                guard exchange.generation === generation else { return }
                count += 1
                exchange.end(.generationRetired)
            }
        }
        return count
    }

    private static func policyHost(_ plan: WorkerPlan, _ loop: EventLoop) -> PolicyHost {
        let host = PolicyHost()
        host.overruns = plan.registry.state.overruns
        let mailbox = loop.mailbox
        host.post = { mailbox.post($0) }
        host.makeAlarm = { _, action in OwnedTimer(loop, action) }
        host.resumed = { owner, verdict in Exchange(address: owner).policiesResumed(verdict) }
        host.waitsAgain = { owner in Exchange(address: owner).policiesWaitAgain() }
        host.moved = { owner in Exchange(address: owner).bodiesMoved() }
        host.callAccount = CallAccount(
            hold: { owner, octets in Exchange(address: owner).holdCall(octets) },
            release: { owner, octets in Exchange(address: owner).releaseCall(octets) })
        host.logged = { owner in Exchange(address: owner).logHooksEnded() }
        host.account = { owner in Exchange(address: owner).account }
        host.attach(to: loop)
        return host
    }

    /// The policies of a program: new engines, and those of `previous` whose units go on.
    private static func policies(
        _ program: PolicyProgram, _ engines: Handover<[PolicyEngine]>?, _ previous: PolicySet?, _ host: PolicyHost
    ) -> PolicySet? {
        guard !program.isEmpty else { return nil }
        let fresh = (engines?.take() ?? []).map { PolicyEngineLease($0, on: host) }
        let leases = program.units.compactMap { unit in
            (fresh + (previous?.leases ?? [])).first { $0.engine.unit === unit }
        }
        return PolicySet(program, leases, host: host)
    }

    /// Carries the upstreams over that are still configured and ends the others.
    private static func generation(
        _ shared: Generation, _ worker: Int, _ registry: MetricsRegistry, _ services: UpstreamServices,
        _ upstreams: inout [String: Upstream], _ calls: UpstreamCalls, _ policies: PolicySet?
    ) -> WorkerGeneration {
        var kept: [String: Upstream] = [:]
        let list = shared.config.upstreams.map { config -> Upstream in
            let upstream: Upstream
            if let existing = upstreams.removeValue(forKey: config.name) {
                existing.update(config, tls: shared.upstreamTLS[config.name])
                upstream = existing
            } else {
                upstream = Upstream(
                    config, tls: shared.upstreamTLS[config.name], services: services,
                    shared: registry.sharedUpstreams.upstream(config.name), worker: worker)
            }
            kept[config.name] = upstream
            return upstream
        }
        // One that is gone ends with the last generation that uses it.
        upstreams = kept
        return WorkerGeneration(
            shared, metrics: shared.metrics.worker(worker), upstreams: list,
            directory: WorkerUpstreams(list, calls: calls), policies: policies)
    }
}

/// What a worker is made from, on its way to the worker's thread.
struct WorkerPlan: Sendable {
    let index: Int
    let generation: Generation
    let registry: MetricsRegistry
    let accessLog: AccessLog
    let resolver: Resolver
    let distributor: ConnectionDistributor
    /// `nil` without policies.
    let engines: Handover<[PolicyEngine]>?
    let log: Logger
}
