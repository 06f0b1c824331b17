import CMoongate
import Logging
import MoongateConfig
import MoongateLua

/// What a host needs from outside.
struct PolicyServices {
    /// For what scripts log, and for their errors.
    var logger: Logger
    /// `nil`: scripts cannot check passwords.
    var verifier: PasswordVerifier?
    /// Counts runs and errors by policy.
    var registry: MetricsRegistry
    /// The worker's index, in `registry`.
    var worker: Int
    /// Told the VM before anything is loaded into it; for test runners.
    var watch: ((LuaVM) -> Void)?
    /// Makes and closes script engines away from the workers; `nil`: nothing runs, so none is ever replaced.
    var workshop: PolicyWorkshop? = nil
}

/// An instance as a worker runs it. References are those of the host's VM.
struct PolicyInstance {
    /// 0: the file has no such hook.
    var request: Int32 = 0
    var response: Int32 = 0
    /// The loop over a body's gRPC messages that calls the hook for them.
    var messages: Int32 = 0
    /// The hooks that have Envoy's names, and Envoy's rules.
    var hasEnvoyRequest = false
    var hasEnvoyResponse = false
    var log: Int32 = 0
    var close: Int32 = 0
    /// The settings as a read-only table.
    var config: Int32 = 0
    var onError: PolicyReference.OnError
    var cells: PolicyCells
    var tally: PolicyTally
}

/// The policies of a generation on one worker: a VM with every file loaded and every instance initialised, and the
/// pool of runs.
///
/// Made on the thread that loads configurations, then handed whole to the worker's thread, where it is used.
final class PolicyHost {
    let vm: LuaVM
    private(set) var program: PolicyProgram
    let instances: UnsafeMutablePointer<PolicyInstance>
    let services: PolicyServices
    /// Runs closures on the worker's thread; set there before the first run.
    var post: (@Sendable (@escaping @Sendable () -> Void) -> Void)?
    /// Called with the owner of a run that paused, when its verdict is known. May end the run.
    var resumed: ((UnsafeMutableRawPointer, PolicyVerdict) -> Void)?
    /// Makes alarms that ring on the worker's thread; set there before the first run.
    var makeAlarm: ((PolicyAlarmUse, @escaping () -> Void) -> any PolicyAlarm)?
    /// The newest generation's, for what belongs to no exchange.
    var upstreams: UpstreamDirectory?
    let timers = PolicyTimers()
    /// The instance whose file is being loaded or which is being initialised; -1: neither.
    var loading: Int32 = -1
    /// The main chunk that runs, or the last one that ran, has begun timers.
    var hasLoadTimers = false
    /// See `PolicyProgram.askedUpstreams`.
    var askedUpstreams: [String: Bool] = [:]
    /// Gives what is known of an exchange so far, by the owner of its run.
    var account: ((UnsafeMutableRawPointer) -> PolicyAccount)?
    /// Some instance has a log hook.
    var hasLogHooks = false
    /// Called with the owner of a run whose hook has gone on and waits again, or the next one does.
    var waitsAgain: ((UnsafeMutableRawPointer) -> Void)?
    /// Called with the owner of a run whose bodies may have moved on.
    var moved: ((UnsafeMutableRawPointer) -> Void)?
    /// The time that scripts have in a turn of the worker's loop.
    let turn = PolicyTurn()
    /// Who has had policies exceed their time limit; `nil`: nobody pays for it.
    var overruns: PolicyOverruns?
    /// Called with the owner of a run whose log hooks had to wait and have run.
    var logged: ((UnsafeMutableRawPointer) -> Void)?
    /// Asks for a call of `turnEnded` at the end of the loop's turn; set by `attach`.
    var awaitTurnEnd: (() -> Void)?
    /// Asks for a call of `turnBegan` in the loop's next turn, which then does not wait; set by `attach`.
    var awaitNextTurn: (() -> Void)?
    /// For bodies on their way through hooks.
    let blocks = BlockPool()
    /// Texts of the results that a leaf gives, until the next one does.
    var keeper: LuaTextKeeper?
    /// What the results of a leaf point to, until the next one that needs it.
    var kept: AnyObject?
    /// By name.
    let secrets: [String: [UInt8]]
    /// Answers for `moon.file` and `require`; gone once everything is loaded.
    private(set) var files: PolicyFileRecord?
    /// Stands for the contents of all data files: part of what verified passwords are remembered by.
    let dataVersion: UnsafeMutablePointer<UInt64>
    let credentials: CredentialCache?
    /// What each file's memory is charged to.
    let accounts: [LuaAccount]
    /// Called with the index of a file that wants more memory than it may hold, once for each.
    var exceeded: ((Int) -> Void)?

    /// Dicts and metrics that its policies use.
    let holdings: PolicyHoldings

    private let entries: [MetricsRegistry.Entry]
    private var firstFree: UnsafeMutablePointer<PolicyRunRecord>?
    private var lastFree: UnsafeMutablePointer<PolicyRunRecord>?
    private var freeCount = 0
    private var hasWarnedOfConnection = false
    /// The memory of all runs, see `PoolSlot`.
    private var slots: [UnsafeMutableRawPointer] = []
    /// Runs that hold back bytes until the turn has ended. Records last as long as the host, and one whose run has ended says so
    /// (`expectsTurnEnd`).
    var expecting: [UnsafeMutablePointer<PolicyRunRecord>] = []
    /// Runs that have done enough for one turn; those that still have say so (`expectsNextTurn`).
    var resting: [UnsafeMutablePointer<PolicyRunRecord>] = []

    /// Runs rest in the pool at least so long that as many others have begun: a handle that a script kept stays
    /// dead for a while, and any later use of it touches the exchange that runs, never another.
    private static let restingRuns = 16

    /// Loads everything from what an earlier host of the program recorded.
    convenience init(_ program: PolicyProgram, services: PolicyServices) throws(DiagnosticList) {
        try self.init(program, record: PolicyFileRecord(replaying: program), services: services)
    }

    /// - Throws: everything that is wrong with files and settings.
    init(_ program: PolicyProgram, record: PolicyFileRecord, services: PolicyServices) throws(DiagnosticList) {
        do {
            let vm = try LuaVM(limits: program.limits)
            accounts = try program.files.map { file throws(LuaError) in try vm.makeAccount(limit: file.memoryLimit) }
            for (name, value) in program.environment { try vm.define(variable: name, value) }
            self.vm = vm
        } catch {
            throw DiagnosticList([
                Diagnostic(location: .unknown, message: "policies.memory_limit is too small for a script engine")
            ])
        }
        secrets = try PolicySecrets.read(program.secrets, record)
        self.program = program
        self.services = services
        files = record
        holdings = PolicyHoldings(services.registry.state)
        credentials = services.verifier.flatMap { CredentialCache($0) }
        dataVersion = .allocate(capacity: 1)
        dataVersion.initialize(to: 0)
        let entries = program.instances.map { services.registry.policies.entry($0.name) }
        self.entries = entries
        instances = .allocate(capacity: max(1, program.instances.count))
        for (index, instance) in program.instances.enumerated() {
            let cells = PolicyCells(row: entries[index].block.row(services.worker))
            let tally = instance.ledger.tally(worker: services.worker, of: services.registry.workers)
            (instances + index).initialize(to: PolicyInstance(onError: instance.onError, cells: cells, tally: tally))
        }
        vm.setContext(Unmanaged.passUnretained(self).toOpaque())
        services.watch?(vm)
        var loading = PolicyLoading(host: self)
        try loading.run()
        files = nil
        services.workshop?.closes(vm)
    }

    /// The program that was made of what loading this host has found out: the same policies, with the answers of the file
    /// system, from which other hosts take the place of this one.
    func serve(_ program: PolicyProgram) { self.program = program }

    deinit {
        timers.stop(self)
        for slot in slots {
            let record = PoolSlot<PolicyRunRecord>.record(0, of: slot)
            record.pointee.destroy()
            record.deinitialize(count: 1)
            slot.deallocate()
        }
        instances.deallocate()
        dataVersion.deallocate()
    }

    // MARK: Runs

    /// A run for one exchange, whose subject the caller fills in. `nil`: the VM's memory is spent.
    func begin(owner: UnsafeMutableRawPointer?) -> PolicyRun? {
        while freeCount <= PolicyHost.restingRuns && addRun() {}
        guard let record = firstFree else { return nil }
        firstFree = record.pointee.nextFree
        if firstFree == nil { lastFree = nil }
        freeCount -= 1
        record.pointee.owner = owner
        return PolicyRun(record)
    }

    /// Ends a run, waiting or not. Nothing of it is used afterwards.
    func end(_ run: PolicyRun) {
        let record = run.pointer
        run.stopHooks()
        vm.end(run.scopePointer)
        record.pointee.subject = PolicySubject()
        record.pointee.owner = nil
        record.pointee.phase = .idle
        record.pointee.expectsTurnEnd = false
        record.pointee.expectsNextTurn = false
        record.pointee.chain = nil
        record.pointee.ran.removeAll()
        record.pointee.replyBody = .empty
        record.pointee.isMessageHook = false
        record.pointee.messageHook = -1
        record.pointee.refusal = nil
        record.pointee.endsResponse = false
        record.pointee.ending.reset()
        record.pointee.arena.reset()
        if record.pointee.dynamicMetadata != nil { record.pointee.dynamicMetadata = nil }
        if record.pointee.heldSlots != nil { record.pointee.heldSlots = nil }
        if record.pointee.filterState != nil { record.pointee.filterState = nil }
        if record.pointee.work != nil { record.pointee.work = nil }
        giveBack(record)
    }

    private func giveBack(_ record: UnsafeMutablePointer<PolicyRunRecord>) {
        record.pointee.nextFree = nil
        if let lastFree { lastFree.pointee.nextFree = record } else { firstFree = record }
        lastFree = record
        freeCount += 1
    }

    /// False: the VM's memory is spent.
    private func addRun() -> Bool {
        let slot = PoolSlot<PolicyRunRecord>.allocate(count: 1)
        let record = PoolSlot<PolicyRunRecord>.record(0, of: slot)
        slots.append(slot)
        record.initialize(to: PolicyRunRecord(host: self))
        record.pointee.requestMap.run = record
        record.pointee.responseMap.run = record
        record.pointee.requestTrailerMap.run = record
        record.pointee.responseTrailerMap.run = record
        record.pointee.routeMetadata.run = record
        record.pointee.listenerMetadata.run = record
        record.pointee.filterContext.run = record
        guard let objects = try? PolicyClasses.makeObjects(PolicyRun(record), vm) else { return false }
        record.pointee.objects = objects
        giveBack(record)
        return true
    }

    // MARK: Waiting

    /// Names the current wait of a run, for an answer that comes from another thread.
    struct Token: Sendable {
        fileprivate let run: UInt
        let number: UInt64
    }

    /// Called by a leaf that is about to say MG_WAIT.
    func wait(_ run: PolicyRun) -> Token {
        run.pointer.pointee.waitNumber &+= 1
        return Token(run: UInt(bitPattern: run.pointer), number: run.pointer.pointee.waitNumber)
    }

    /// The answer to a wait has come; on the worker's thread. Nothing happens if the exchange has ended meanwhile.
    func complete(_ token: Token, with results: [LuaValue]) {
        guard let pointer = UnsafeMutablePointer<PolicyRunRecord>(bitPattern: token.run) else { return }
        let run = PolicyRun(pointer)
        guard let frame = run.frame(token.number) else { return }
        if run.answerWaits(run.pointer.pointee.host.takeUnretainedValue().complete(token, with: results)) { return }
        run.goOn(frame, .values(results))
        guard run.pointer.pointee.phase == .timer else { return run.drive() }
        if run.pointer.pointee.frames.isEmpty { timers.ended(run, self) }
    }

    /// What to call on any thread with the answer to a wait.
    func completion(of run: PolicyRun) -> @Sendable ([LuaValue]) -> Void {
        let token = wait(run)
        let host = LoopBound(self)
        let post = post
        return { results in post? { host.value?.complete(token, with: results) } }
    }

    var dataVersionBytes: Bytes {
        Bytes(UnsafeRawPointer(dataVersion).assumingMemoryBound(to: UInt8.self), MemoryLayout<UInt64>.size)
    }

    // MARK: Log

    /// Notes why a hook has failed.
    func log(_ error: LuaError, of run: PolicyRun) {
        let number = RequestNumber.text(run.pointer.pointee.subject.requestNumber)
        log(error, of: Int(run.pointer.pointee.current), run.hook, fields: ["request": "\(number)"])
    }

    /// Notes why a hook of an instance has failed.
    func log(_ error: LuaError, of index: Int, _ hook: PolicyHook, fields: Logger.Metadata = [:]) {
        let reason = PolicyErrorReason(error.reason)
        instances[index].tally.countError(hook, reason)
        program.instances[index].ledger.failed(error, hook)
        if error.reason == .memory { settleMemory() }
        var metadata = fields
        metadata["policy"] = "\(program.instances[index].name)"
        metadata["hook"] = "\(hook.label)"
        metadata["reason"] = "\(reason.label)"
        metadata["traceback"] = "\(error.traceback)"
        services.logger.error("\(error.message)", metadata: metadata)
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
            metadata["policy"] = "\(program.instances[Int(run.pointer.pointee.current)].name)"
            metadata["request"] = "\(RequestNumber.text(run.pointer.pointee.subject.requestNumber))"
        }
        services.logger.log(level: level, "\(text.string)", metadata: metadata)
    }
}
