import CMoongate
import Glibc
import Logging
import MoongateConfig

/// The whole edge: reads the configuration, starts the threads, steers them until the process ends.
///
/// Everything here runs on the control thread.
public final class Server {
    let path: AbsolutePath
    let registry: MetricsRegistry
    private let operationalLog: OperationalLog
    private let log: Logger
    private let accessLog: AccessLog
    private let handle: ControlHandle
    private let loader: GenerationLoader
    private let resolver: Resolver
    private let health: HealthMonitor
    let workers: [WorkerThread]
    private let acceptors: AcceptorThread
    private let listeners: ListenerSet
    private let inherited: InheritedSockets
    private let watchdog: Watchdog
    private let generationRegistry = GenerationRegistry()
    private var admin: AdminServer?
    private let adminHosts = Locked(AdminHosts())
    /// Another process accepts on the same sockets.
    private var isSucceeded = false
    private(set) var generation: Generation

    /// A generation that is being made.
    private struct Loading {
        let thread: OSThread
        let attempt: Locked<Handover<FileSnapshot.Attempt<GenerationLoader.Candidate>>?>
    }

    private var files: FileSnapshot
    private var loading: Loading?
    /// Of the first configuration, for the log.
    private let warnings: [Diagnostic]

    /// Runs an edge until it is told to end; returns the process's exit code: 0 after a drain, 2 for a configuration
    /// that cannot be used (reported on standard error as `moongate check` does), 1 if the system refuses something.
    /// - Parameter path: of the configuration file.
    public static func run(path: AbsolutePath) -> Int32 {
        let inherited = InheritedSockets()
        ProcessSignals.takeOver()
        do {
            let signals = try ProcessSignals()
            let server = try Server(path: path, inherited, signals)
            server.serve(signals)
            return 0
        } catch is StartUp.Interrupted {
            // Policies are still being loaded, and nothing serves yet.
            _exit(0)
        } catch let faults as DiagnosticList {
            Server.printError(faults.description)
            return 2
        } catch {
            Server.printError("moongate: \(error)")
            return 1
        }
    }

    /// To be called before anything else: a file that took the place of a closed standard output or error would get what is
    /// written there.
    public static func openStandardDescriptors() { mg_open_standard_descriptors() }

    /// For faults before the log runs.
    private static func printError(_ text: String) {
        let line = Array((text.visible(keepingLines: true) + "\n").utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }

    /// Loads the configuration, binds the listeners and starts all threads.
    private init(path: AbsolutePath, _ inherited: InheritedSockets, _ signals: ProcessSignals) throws {
        self.path = path
        self.inherited = inherited
        try FileLimit.raise()
        mg_keep_free_memory()
        var logs: [OperationalLog] = []
        let parts = ServerPlan.Parts(
            path: path, ticketKeys: TicketKeys(),
            logger: { registry in
                let log = try OperationalLog(process: registry.process)
                logs.append(log)
                return log.logger("policy")
            }, verifier: try PasswordVerifier(), workshop: try PolicyWorkshop())
        let attempt = try StartUp.run(signals) {
            FileSnapshot.consistent { reader in try ServerPlan(parts, reader) }
        }
        files = attempt.snapshot
        let plan = try attempt.result.get()
        registry = plan.registry
        loader = plan.loader
        generation = plan.candidate.generation
        warnings = plan.candidate.warnings
        registry.certificates.withLock { $0 = plan.candidate.certificates }
        // A further try to read stable files makes a further log; the last one belongs to this plan.
        for log in logs.dropLast() { log.close() }
        operationalLog = try logs.last ?? OperationalLog(process: registry.process)
        log = operationalLog.logger("moongate")
        accessLog = try AccessLog(metrics: registry)
        accessLog.use(plan.candidate.accessLog)
        handle = try ControlHandle()
        resolver = try Resolver(
            DNSSettings(generation.config.dns),
            resolverLog: ResolverLog(registry.process, log: operationalLog.logger("dns")))
        health = try HealthMonitor(
            registry.sharedUpstreams, resolver: resolver, log: operationalLog.logger("health"))
        let workerRegistry = WorkerRegistry()
        let distributor = ConnectionDistributor(workers: registry.workers) { workerRegistry.deliver($1, to: $0) }
        workers = try Server.startWorkers(plan, accessLog, resolver, distributor, log)
        workerRegistry.set(workers)
        watchdog = Watchdog(workers, registry, distributor, handle, log: log) { [accessLog, operationalLog] in
            ShutDown.close(accessLog, operationalLog, .atOnce)
            abort()
        }
        acceptors = try AcceptorThread(
            distributor: distributor, limiter: ConnectionLimiter(registry: registry, logger: log),
            overload: registry.overload, copies: registry.copies, log: log, dropCopies: { workerRegistry.dropCopies() },
            shed: { workerRegistry.shed($0) })
        acceptors.use(generation.config.overload)
        registry.copies.setLimit(generation.config.limits.copyBuffer)
        listeners = ListenerSet(acceptors: acceptors, inherited: inherited)
        let bound = try listeners.bind(generation.config.listeners)
        admin = try makeAdmin(generation.config.admin)
        let hosts = AdminHosts(generation.config.admin?.hosts ?? [])
        adminHosts.withLock { $0 = hosts }
        switchListeners(bound, plan.candidate)
        try admin?.start()
        resolveInheritance()
        try ProcessHardening.apply(generation.config.process ?? ProcessConfig(), log)
    }

    /// Sockets that no listener has taken: those of listeners that the process before had, or too many by systemd.
    private func resolveInheritance() {
        if inherited.isSuccession { return inherited.closeLeftOver() }
        for address in inherited.leftOver {
            log.warning("no listener for an inherited socket", metadata: ["address": "\(address)"])
        }
    }

    private static func startWorkers(
        _ plan: ServerPlan, _ accessLog: AccessLog, _ resolver: Resolver, _ distributor: ConnectionDistributor,
        _ log: Logger
    ) throws -> [WorkerThread] {
        try (0..<plan.registry.workers).map { index in
            try WorkerThread(
                WorkerPlan(
                    index: index, generation: plan.candidate.generation, registry: plan.registry,
                    accessLog: accessLog, resolver: resolver, distributor: distributor,
                    engines: plan.candidate.engines.isEmpty ? nil : plan.candidate.engines[index],
                    log: log))
        }
    }

    private func serve(_ signals: ProcessSignals) {
        publish(generation)
        for warning in warnings { log.warning("\(warning)") }
        let control = ControlLoop(
            handle: handle, signals: signals, watcher: FileWatcher(), files: files, metrics: registry.process, log: log)
        shutDown(control.run(self))
    }

    private func shutDown(_ haste: ShutDown.Haste) {
        acceptors.end()
        for worker in workers { worker.stop(within: haste.forPolicies.nanoseconds) }
        var end = ShutDown(haste)
        end.wait(for: "acceptor") { acceptors.join(until: $0) }
        for (index, worker) in workers.enumerated() {
            end.wait(for: "worker-\(index)") { worker.join(until: $0) }
        }
        end.ask("admin") { admin?.stop(by: $0) ?? true }
        end.ask("health") { health.stop(by: $0) }
        end.ask("resolver") { resolver.stop(by: $0) }
        loader.verifier?.stop()
        end.ask("mg-load") { loading?.thread.join(until: $0) ?? true }
        end.ask("mg-policy") { loader.workshop?.stop(by: $0) ?? true }
        end.finish(log, accessLog, operationalLog, code: 0)
    }

    // MARK: Switching

    private func switchListeners(_ bound: ListenerSet.Bound, _ candidate: GenerationLoader.Candidate) {
        listeners.use(bound, Array(zip(candidate.generation.config.listeners, candidate.listeners)))
    }

    /// `nil` if the configuration wants none.
    private func makeAdmin(_ config: AdminConfig?) throws -> AdminServer? {
        guard let config else { return nil }
        guard let address = SocketAddress(listening: config.address) else {
            throw DiagnosticList([
                Diagnostic(location: .unknown, message: "admin.address must be an IP address and a port")
            ])
        }
        let registry = registry
        let handle = handle
        let taken = inherited.take(config.address, name: InheritedSockets.adminName)
        return try AdminServer(
            address: address, inherited: taken?.descriptor,
            endpoints: AdminEndpoints(
                metrics: { registry.exposition() }, readiness: { handle.readiness },
                liveness: { handle.liveness }, isStale: { handle.lastReloadFailure != nil },
                report: EdgeReport(
                    generationRegistry: generationRegistry, upstreams: registry.sharedUpstreams,
                    reloadFailures: { registry.process.values.reloadFailures },
                    lastReloadFailure: { handle.lastReloadFailure }, staleLists: { handle.staleLists }),
                hosts: { [adminHosts] in adminHosts.withLock { $0 } }))
    }
}

extension Server: ControlDelegate {
    var drainSettings: DrainConfig { generation.config.drain }

    /// One line that tells people and scripts where the edge can be reached.
    func becameReady() {
        var fields: Logger.Metadata = ["workers": "\(registry.workers)", "generation": "\(generation.number)"]
        for listener in generation.config.listeners {
            if let address = listeners.address(of: listener) { fields["listener.\(listener.name)"] = "\(address)" }
        }
        if let admin { fields["admin"] = "\(admin.address)" }
        log.notice("ready", metadata: fields)
        inherited.tellReady()
    }

    func startSuccessor() throws(Successor.Failure) -> Successor {
        var sockets = listeners.handover
        if let admin { sockets.append((admin.listener, InheritedSockets.adminName)) }
        return try Successor(sockets, at: Clock.now())
    }

    func successorServes() {
        // Who asks is to hear of the process that serves.
        admin?.stop()
        admin = nil
        isSucceeded = true
    }

    func reopenLogs() { accessLog.reopen() }

    func watch(at now: Instant) {
        watchdog.look(at: now, generation.config.watchdog ?? WatchdogConfig(), generation.program)
    }

    func beginReload(_ reason: ReloadReason) {
        let (loader, number, program, handle) = (loader, generation.number + 1, generation.program, handle)
        let made = Locked<Handover<FileSnapshot.Attempt<GenerationLoader.Candidate>>?>(nil)
        do throws(SystemError) {
            let thread = try OSThread.start(name: "mg-load", stackSize: 8 << 20) {
                let attempt = FileSnapshot.consistent { reader in
                    try loader.load(reader, number: number, previous: program)
                }
                let handover = Handover(attempt)
                made.withLock { $0 = handover }
                handle.reloadPrepared()
            }
            loading = Loading(thread: thread, attempt: made)
        } catch {
            log.error("no thread to reload on", metadata: ["error": "\(error)"])
            handle.reloadPrepared()
        }
    }

    func finishReload() -> ReloadResult {
        loading?.thread.join()
        let made = loading?.attempt.withLock { $0 }
        loading = nil
        guard let attempt = made?.take() else {
            return refused("the system has no thread to load the files on", FileSnapshot())
        }
        switch attempt.result {
        case .failure(let fault):
            noteFailure(fault)
            return refused("\(fault)", attempt.snapshot)
        case .success(let candidate):
            if attempt.snapshot.hasSameContent(as: files) {
                files = attempt.snapshot
                return ReloadResult(outcome: .unchanged, files: files)
            }
            do {
                try adopt(candidate)
            } catch {
                return refused("\(error)", attempt.snapshot)
            }
            files = attempt.snapshot
            return ReloadResult(outcome: .applied(generation: generation.number), files: files)
        }
    }

    private func refused(_ reason: String, _ snapshot: FileSnapshot) -> ReloadResult {
        ReloadResult(
            outcome: .failed(reason), staleLists: StaleList.all(of: generation.program, now: snapshot), files: snapshot)
    }

    func drain() {
        let (workers, handle) = (workers, handle)
        let done = Countdown(workers.count) { handle.drained() }
        // The workers hear of it behind the last connection: one that comes to a worker without any would be cut.
        listeners.stop(takeWaiting: !isSucceeded) {
            for worker in workers { worker.post { $0.drain { done.one() } } }
        }
    }

    func endStreams() { for worker in workers { worker.post { $0.endStreams() } } }

    /// Everything that can fail comes first; then the switch, which cannot.
    private func adopt(_ candidate: GenerationLoader.Candidate) throws {
        let new = candidate.generation
        try checkWorkers(new.config)
        try checkProcess(new.config)
        let bound = try listeners.bind(new.config.listeners)
        let adminChanges = new.config.admin?.address != generation.config.admin?.address
        do {
            if adminChanges {
                let next = try makeAdmin(new.config.admin)
                try next?.start()
                admin?.stop()
                admin = next
            }
        } catch {
            listeners.abandon(bound)
            throw error
        }
        adminHosts.withLock { $0 = AdminHosts(new.config.admin?.hosts ?? []) }
        resolver.use(DNSSettings(new.config.dns))
        acceptors.use(new.config.overload)
        registry.copies.setLimit(new.config.limits.copyBuffer)
        new.program.takeEffect()
        for (index, worker) in workers.enumerated() {
            let policies = candidate.engines.isEmpty ? nil : candidate.engines[index]
            let activity = worker.activity
            worker.post { worker in
                worker.adopt(new, policies)
                activity.took(generation: new.number)
            }
        }
        watchdog.expect(generation: new.number, at: Clock.now())
        switchListeners(bound, candidate)
        accessLog.use(candidate.accessLog)
        for warning in candidate.warnings { log.warning("\(warning)") }
        registry.certificates.withLock { $0 = candidate.certificates }
        generation = new
        publish(new)
    }

    private func publish(_ generation: Generation) {
        generationRegistry.publish(generation)
        registry.process.generationPublished(generation.number)
        for instance in generation.program.instances {
            registry.policies.entry(instance.name).block.row(0)[PolicyCells.Column.loadedAt].set(
                UInt64(clamping: instance.stats.summary.loadedAt / 1000))
        }
    }
}
