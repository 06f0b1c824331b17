import CMoongate
import Logging
import MoongateConfig
import MoongateLua

/// A unit on one worker: a Lua state with the unit's file loaded and every instance initialised. Nothing in it is shared with other
/// policies, and its memory is the policy's.
///
/// Made on the thread that loads configurations, then handed whole to the worker's thread, where it is used by every generation that
/// has the unit.
final class PolicyEngine {
    let vm: LuaVM
    private(set) var unit: PolicyUnit
    /// By their places in the unit.
    let instances: UnsafeMutablePointer<PolicyInstance>
    let services: PolicyServices
    /// The worker's part, once the engine is at home there.
    private(set) var host: PolicyHost?
    let timers = PolicyTimers()
    /// The end that is under way; `nil`: none.
    var closing: PolicyClosing?
    /// Those of the last generation that the policy has served, for what belongs to no exchange.
    var upstreams: UpstreamDirectory?
    /// The instance which is being initialised, the first one while the file is loaded; -1: neither.
    var loading: Int32 = -1
    /// The main chunk that runs, or the last one that ran, has begun timers.
    var hasLoadTimers = false
    /// The upstreams that the configuration has, for questions while the policy is loaded.
    let upstreamNames: Set<String>
    /// See `PolicyUnit.Findings.upstreams`.
    var askedUpstreams: [String: Bool] = [:]
    /// Texts of the results that a leaf gives, until the next one does.
    var manager: LuaTextKeeper?
    /// What the results of a leaf point to, until the next one that needs it.
    var kept: AnyObject?
    /// By name.
    let secrets: [String: [UInt8]]
    /// Answers for `moon.file` and `require`; gone once everything is loaded.
    private(set) var files: PolicyFileRecord?
    /// Stands for the contents of all data files: part of what verified passwords are remembered by.
    let dataVersion: UnsafeMutablePointer<UInt64>
    /// Passwords that were right of late; made for policies that check some. `nil`: they cannot be checked here.
    private(set) lazy var credentials: CredentialCache? = services.verifier.flatMap { CredentialCache($0) }
    /// Dicts and metrics that the policy uses.
    let resources: PolicyResources
    /// Decides who may run as memory gets short.
    let memory = PolicyMemory()
    /// Objects that are lent to runs.
    var visits: PolicyVisitPool
    /// It has asked to be replaced.
    var isSpent = false
    /// Called once, when the engine has to be replaced.
    var exceeded: (() -> Void)?

    /// What the policy is known by in the tracker of overruns.
    let overrunNumber: OverrunHistory.Policy

    private let entries: [MetricsRegistry.Entry]
    private var hasWarnedOfConnection = false

    /// Loads everything from what an earlier engine of the unit recorded.
    convenience init(_ unit: PolicyUnit, services: PolicyServices) throws(DiagnosticList) {
        let names = Set(unit.findings.upstreams.filter(\.value).keys)
        try self.init(unit, record: PolicyFileRecord(replaying: unit), upstreams: names, services: services)
        self.unit = unit
    }

    /// - Parameters:
    ///   - unit: gets the findings of this engine, see `unit`.
    ///   - upstreams: the names of the configuration's.
    /// - Throws: everything that is wrong with the file and its settings.
    init(
        _ unit: PolicyUnit, record: PolicyFileRecord, upstreams: Set<String>, services: PolicyServices
    ) throws(DiagnosticList) {
        vm = try PolicyEngine.open(unit)
        secrets = try PolicySecrets.read(unit.terms.secrets, record)
        self.unit = unit
        self.services = services
        upstreamNames = upstreams
        files = record
        resources = PolicyResources(services.registry.state, file: unit.file)
        dataVersion = .allocate(capacity: 1)
        dataVersion.initialize(to: 0)
        visits = PolicyVisitPool(vm)
        overrunNumber = services.registry.state.overruns.number(of: unit.file.identity)
        entries = unit.instances.map { services.registry.policies.entry($0.name) }
        instances = .allocate(capacity: max(1, unit.instances.count))
        let this = Unmanaged.passUnretained(self)
        for (index, instance) in unit.instances.enumerated() {
            let cells = PolicyCells(row: entries[index].block.row(services.worker))
            let statsRow = instance.stats.statsRow(worker: services.worker, of: services.registry.workers)
            (instances + index).initialize(
                to: PolicyInstance(
                    engine: this, index: Int32(index), onError: instance.onError, cells: cells, statsRow: statsRow))
        }
        vm.setContext(this.toOpaque())
        services.watch?(vm)
        var loading = PolicyLoading(self)
        try loading.run()
        files = nil
        vm.collectGarbage()
        memory.begin(vm)
        services.workshop?.closes(vm)
        self.unit = unit.with(
            PolicyUnit.Findings(
                answers: record.answers, lists: record.lists, upstreams: askedUpstreams,
                memory: vm.memoryInUse, names: resources.names))
    }

    private static func open(_ unit: PolicyUnit) throws(DiagnosticList) -> LuaVM {
        do throws(LuaError) {
            let vm = try LuaVM(
                limits: LuaVM.Limits(memory: unit.file.memoryLimit, milliseconds: unit.terms.milliseconds))
            for (name, value) in unit.terms.environment { try vm.define(variable: name, value) }
            return vm
        } catch {
            throw DiagnosticList([
                Diagnostic(
                    location: unit.instances.first?.location ?? .unknown,
                    message: "the memory limit of policy \(unit.file.chunkName) is too small for a script engine",
                    hint: "a script engine alone holds some 100 KiB")
            ])
        }
    }

    deinit {
        timers.stop(self)
        visits.free()
        instances.deallocate()
        dataVersion.deallocate()
    }

    var dataVersionBytes: Bytes {
        Bytes(UnsafeRawPointer(dataVersion).assumingMemoryBound(to: UInt8.self), MemoryLayout<UInt64>.size)
    }

    // MARK: Service

    /// The engine is at home on its worker, and its memory counts there.
    func enter(_ host: PolicyHost) {
        self.host = host
        vm.join(host.memory)
        resources.takeEffect()
    }

    /// Another engine has taken the place of this one, or its policy is gone: it goes on for the exchanges that have begun.
    func retire() {
        timers.stop(self)
        vm.join(nil)
    }

    /// What the policies beside this one hold.
    var neighbours: [PolicyResources] {
        (host?.newest?.leases ?? []).map(\.engine).filter { $0 !== self }.map(\.resources)
    }

    // MARK: Log

    /// Notes why a hook of an instance has failed.
    func log(_ error: LuaError, of index: Int, _ hook: PolicyHook, fields: Logger.Metadata = [:]) {
        let reason = PolicyErrorReason(error.reason)
        instances[index].statsRow.countError(hook, reason)
        unit.instances[index].stats.failed(error, hook)
        var metadata = fields
        metadata["policy"] = "\(unit.instances[index].name)"
        metadata["hook"] = "\(hook.label)"
        metadata["reason"] = "\(reason.label)"
        metadata["traceback"] = "\(error.traceback)"
        services.logger.error("\(error.message)", metadata: metadata)
        if error.reason == .memory { reviewMemory() }
    }

    /// Says once that a script calls what Envoy has deprecated.
    func warnOfConnection(_ run: PolicyRun?) {
        guard !hasWarnedOfConnection else { return }
        hasWarnedOfConnection = true
        log(
            .warning,
            Bytes("connection():ssl() is deprecated: use streamInfo():downstreamSslConnection() instead"), of: run)
    }

    /// - Parameters:
    ///   - run: `nil` while loading.
    ///   - fields: what the script adds; none of the names that are set here.
    func log(_ level: Logger.Level, _ text: Bytes, of run: PolicyRun?, fields: Logger.Metadata = [:]) {
        guard level >= services.logger.logLevel else { return }
        var metadata = fields
        if let run {
            metadata["policy"] = "\(run.use.name)"
            // No request is behind the end of a policy.
            let isClose = run.phase == .close
            metadata[isClose ? "hook" : "request"] =
                isClose ? "\(run.hook.label)" : "\(RequestNumber.text(run.subject.requestNumber))"
        }
        services.logger.log(level: level, "\(text.string)", metadata: metadata)
    }
}
