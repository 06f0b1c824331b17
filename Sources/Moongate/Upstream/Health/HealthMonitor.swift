import Logging
import MoongateConfig

/// The thread that checks endpoints and decides on ejections, once for the process. Workers read what it has found.
final class HealthMonitor: Sendable {
    private let bell: HealthWaker
    private let mailbox: Mailbox
    private let desk: LoopBound<HealthCoordinator>
    private let thread: OSThread

    /// - Throws: when the system has no descriptors or threads left.
    init(_ upstreams: SharedUpstreams, resolver: Resolver, log: Logger) throws {
        let loop = try EventLoop()
        let desk = HealthCoordinator(loop: loop, resolver: resolver, log: log)
        self.desk = LoopBound(desk)
        mailbox = loop.mailbox
        bell = upstreams.bell
        let handover = Handover(desk)
        thread = try OSThread.start(name: "health") {
            guard let desk = handover.take() else { return }
            desk.loop.run()
            withExtendedLifetime(desk) {}
        }
        bell.connect(HealthMailbox(mailbox: mailbox, desk: self.desk))
        for upstream in upstreams.living() { bell.ring(.members(upstream)) }
    }

    /// Has the thread end.
    /// - Parameter deadline: until when to wait for that; `nil`: as long as it takes.
    /// - Returns: whether it has ended.
    @discardableResult
    func stop(by deadline: Instant? = nil) -> Bool {
        bell.disconnect()
        let box = desk
        mailbox.post { box.value?.loop.stop() }
        return thread.join(by: deadline)
    }
}

/// Takes news to the health monitor's thread.
private final class HealthMailbox: HealthListener {
    private let mailbox: Mailbox
    private let desk: LoopBound<HealthCoordinator>

    init(mailbox: Mailbox, desk: LoopBound<HealthCoordinator>) {
        self.mailbox = mailbox
        self.desk = desk
    }

    func hear(_ news: HealthEvent) { mailbox.post { [desk] in desk.value?.hear(news) } }
}

/// The health monitor's work, on its thread: the only one that changes what is known of an endpoint's health.
final class HealthCoordinator {
    let loop: EventLoop
    private let log: Logger
    private let services: UpstreamServices
    private let calls: UpstreamCalls
    private var checks: [ObjectIdentifier: EndpointCheck] = [:]
    /// The ends of ejections.
    private var releases: [ObjectIdentifier: OwnedTimer] = [:]

    init(loop: EventLoop, resolver: Resolver, log: Logger) {
        self.loop = loop
        self.log = log
        services = UpstreamServices(loop: loop, shared: ConnectionShared(), resolver: resolver)
        calls = UpstreamCalls(loop: loop)
    }

    func hear(_ news: HealthEvent) {
        switch news {
        case .members(let upstream): sync(upstream)
        case .suspicion(let upstream, let endpoint, let suspicion): judge(upstream, endpoint, suspicion)
        }
    }

    // MARK: Checks

    /// Checks the endpoints that the upstream has now, as it is configured now.
    private func sync(_ upstream: SharedUpstream) {
        upstream.membersAreLookedAt()
        let (config, tls) = (upstream.config, upstream.tls)
        let members = upstream.members
        let present = Set(members.map { ObjectIdentifier($0) })
        for (id, check) in checks where check.upstream === upstream {
            if present.contains(id) && check.config == config.healthCheck && check.tls === tls { continue }
            check.stop()
            checks[id] = nil
        }
        for endpoint in members {
            if config.outlierDetection == nil && endpoint.healthFlags.contains(.ejected) { release(upstream, endpoint) }
            guard let wanted = config.healthCheck else {
                change(upstream, endpoint) { $0.subtract([.failedCheck, .unchecked]) }
                continue
            }
            let id = ObjectIdentifier(endpoint)
            guard checks[id] == nil else { continue }
            let check = EndpointCheck(upstream, endpoint, wanted, loop: loop, probe: probe(upstream, endpoint, wanted))
            {
                [weak self] check, result, hasChanged in self?.checked(check, result, hasChanged)
            }
            checks[id] = check
            check.start()
        }
    }

    private func probe(_ upstream: SharedUpstream, _ endpoint: SharedEndpoint, _ config: HealthCheckConfig)
        -> HealthProbe
    {
        let timeout = config.timeout.nanoseconds
        if case .tcp = config.probe { return ConnectProbe(endpoint.address, loop: loop, timeout: timeout) }
        let services = services
        let tls = upstream.tls
        return CallProbe(config.probe, timeout: timeout, calls: calls) {
            // Not among what the upstream counts and limits.
            let own = SharedUpstream(name: upstream.name)
            return Endpoint(
                services: services, state: own.join(endpoint.address, host: endpoint.host), connectTimeout: timeout,
                tls: tls.map { TLSPeer($0, host: endpoint.host) }, shared: own, worker: 0, requestLimit: nil,
                lifetime: ConnectionLifetime(UpstreamConnectionConfig()), host: endpoint.host)
        }
    }

    private func checked(_ check: EndpointCheck, _ result: CheckResult, _ hasChanged: Bool) {
        let (upstream, endpoint) = (check.upstream, check.endpoint)
        upstream.noteCheck(passed: result == .passed)
        endpoint.note { details in
            details.checkedAt = Clock.unixMilliseconds()
            details.checkFailure = result.failure
        }
        guard hasChanged else { return }
        change(upstream, endpoint) { healthFlags in
            healthFlags.remove(.unchecked)
            if check.isHealthy { healthFlags.remove(.failedCheck) } else { healthFlags.insert(.failedCheck) }
        }
        var fields: Logger.Metadata = ["upstream": "\(upstream.name)", "endpoint": "\(endpoint.name)"]
        if let failure = result.failure { fields["reason"] = "\(failure)" }
        if check.isHealthy {
            log.notice("endpoint is healthy", metadata: fields)
        } else {
            log.warning("endpoint is unhealthy", metadata: fields)
        }
    }

    private func change(
        _ upstream: SharedUpstream, _ endpoint: SharedEndpoint, _ edit: (inout SharedEndpoint.HealthFlags) -> Void
    ) {
        var healthFlags = endpoint.healthFlags
        edit(&healthFlags)
        if endpoint.setAilments(healthFlags, now: Clock.now()) { upstream.healthChanged() }
    }

    // MARK: Ejections

    private func judge(_ upstream: SharedUpstream, _ endpoint: SharedEndpoint, _ suspicion: SuspicionReason) {
        let members = upstream.members
        guard let config = upstream.config.outlierDetection, !endpoint.healthFlags.contains(.ejected),
            members.contains(where: { $0 === endpoint })
        else { return }
        let ejected = members.count { $0.healthFlags.contains(.ejected) }
        guard EjectionHistory.hasRoom(ejected: ejected, of: members.count, config) else {
            return upstream.noteEjection(isEnforced: false)
        }
        let now = Clock.now()
        var time: UInt64 = 0
        endpoint.note { details in
            time = details.ejections.begin(config, now: now)
            details.ejectedUntil = now &+ time
            details.ejectionReason = suspicion.text
        }
        upstream.noteEjection(isEnforced: true)
        change(upstream, endpoint) { $0.insert(.ejected) }
        let timer = OwnedTimer(loop) { [weak self, weak upstream] in
            if let upstream { self?.release(upstream, endpoint) }
        }
        timer.set(after: time)
        releases[ObjectIdentifier(endpoint)] = timer
        log.warning(
            "endpoint ejected",
            metadata: [
                "upstream": "\(upstream.name)", "endpoint": "\(endpoint.name)", "reason": "\(suspicion.text)",
                "milliseconds": .stringConvertible(Int64(clamping: time / 1_000_000)),
            ])
    }

    private func release(_ upstream: SharedUpstream, _ endpoint: SharedEndpoint) {
        // The timer that is firing is kept until the end of its action by whoever fires it.
        let timer = releases.removeValue(forKey: ObjectIdentifier(endpoint))
        defer { withExtendedLifetime(timer) {} }
        guard endpoint.healthFlags.contains(.ejected) else { return }
        endpoint.forgetErrors()
        endpoint.note { details in
            details.ejectedUntil = 0
            details.ejections.end(now: Clock.now())
        }
        change(upstream, endpoint) { $0.remove(.ejected) }
        log.notice(
            "endpoint is no longer ejected",
            metadata: ["upstream": "\(upstream.name)", "endpoint": "\(endpoint.name)"])
    }
}
