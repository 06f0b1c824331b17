import Glibc
import MoongateConfig
import MoongateLua

/// One spec file: the VM it runs in, its tests, and what they made.
///
/// Policies run in VMs of their own. What a test loaded and began is gone when it ends; what the file loaded around
/// its tests lives as long as the session.
final class SpecSession {
    struct Case {
        var names: [String]
        var line: Int
    }

    let world: SpecWorld
    private let vm: LuaVM
    private let path: String
    let source: String
    let chunkName: String

    private(set) var cases: [Case] = []
    /// The test that runs, from 1; 0: the file itself.
    private(set) var current = 0
    private var failures: [String] = []
    private var isSkipped = false
    /// By number; a number is given once, so that what a test kept never names what another made.
    private var policies: [Int: SpecPolicy] = [:]
    private var exchanges: [Int: SpecExchange] = [:]
    private var lastNumber = 0
    let calls = SpecCalls()
    private let alarms: SpecAlarms
    /// Nanoseconds that are still to pass.
    private var timeLeft: UInt64 = 0
    /// Texts of the results that a leaf gives, until the next one does.
    var manager: LuaTextKeeper?
    private var collect: LuaReference?
    private var runOne: LuaReference?

    /// - Throws: `SpecFault` when there is no memory for it.
    init(path: String, source: String, world: SpecWorld, timeLimit: Duration) throws(SpecFault) {
        self.path = path
        self.source = source
        self.world = world
        alarms = SpecAlarms(world)
        chunkName = path.split(separator: "/").last.map(String.init) ?? path
        do {
            let milliseconds = UInt32(clamping: max(1, timeLimit.nanoseconds / 1_000_000))
            vm = try LuaVM(limits: LuaVM.Limits(memory: 256 << 20, milliseconds: milliseconds))
            vm.setContext(Unmanaged.passUnretained(self).toOpaque())
            try vm.define(library: "__engine", bindings: SpecBindings.all)
            try vm.define(library: "moon", bindings: MoonLibrary.tools)
            for null in JSONBinding.nulls { try vm.define(null: null, in: "moon") }
            vm.setPrint(SpecBindings.print)
            vm.setModuleSource(SpecBindings.moduleSource)
            let file = try vm.load(Array(SpecPrelude.source.utf8), name: SpecPrelude.chunkName)
            collect = try vm.function("__collect", in: file)
            runOne = try vm.function("__run", in: file)
        } catch {
            throw SpecFault("script engine: \(error)")
        }
    }

    // MARK: Running

    /// Runs the file, which says what tests there are.
    ///
    /// - Throws: `SpecFault` with what is wrong with it.
    func gather() throws(SpecFault) {
        guard let collect, vm.start(collect) == .finished else { throw SpecFault(vm.lastError.message) }
    }

    /// Runs one test, from 1.
    func run(_ index: Int) -> SpecResult {
        current = index
        failures = []
        isSkipped = false
        world.reset()
        let (before, begin) = (policies, Clock.now())
        if let runOne, vm.start(runOne) != .finished { failures.append(vm.lastError.message) }
        for number in exchanges.keys.sorted() { exchanges[number]?.finish() }
        exchanges = [:]
        policies = before
        calls.removeAll()
        timeLeft = 0
        current = 0
        let outcome: SpecResult.Outcome = isSkipped ? .skipped : failures.isEmpty ? .passed : .failed(failures)
        return SpecResult(
            file: path, names: cases[index - 1].names, line: cases[index - 1].line, outcome: outcome,
            seconds: Double(Clock.now() &- begin) / 1e9, log: world.log.lines.map(\.description))
    }

    // MARK: What the spec does

    func add(_ names: [String], line: Int) { cases.append(Case(names: names, line: line)) }
    func failed(_ message: String) { failures.append(message) }
    func skipped() { isSkipped = true }

    /// - Returns: the policy's number, from 1.
    func load(_ uses: LuaValue?, _ options: LuaValue?) throws(SpecFault) -> Int {
        let options = try SpecLoadOptions(options, folder: world.folder)
        guard let uses else { throw SpecFault("settings hold texts, numbers, booleans and tables of them only") }
        guard case .list(let list) = uses else { throw SpecFault("a list of policies is needed") }
        var references: [PolicyReference] = []
        for use in list { references.append(try reference(use, options)) }
        do {
            lastNumber += 1
            policies[lastNumber] = try SpecPolicy(references, options, world, calls: calls, alarms: alarms)
        } catch {
            throw SpecFault(error.diagnostics.map(\.description).joined(separator: "\n"))
        }
        return lastNumber
    }

    private func reference(_ use: LuaValue, _ options: SpecLoadOptions) throws(SpecFault) -> PolicyReference {
        guard let name = use["name"]?.text else { throw SpecFault("a policy's name must be a text") }
        guard let settings = SettingValue(use["settings"] ?? .table([])), case .table = settings else {
            throw SpecFault("the settings of \(name) must be a table with names")
        }
        let isFile = name.hasSuffix(".lua") && !name.hasPrefix("/")
        let onError = try use["on_error"]?.text.map { text throws(SpecFault) in try SpecLoadOptions.onError(text) }
        return PolicyReference(
            name: isFile ? "\(world.folder)/\(name)" : name, settings: settings, onError: onError ?? options.onError)
    }

    /// - Returns: the exchange's number, from 1.
    func begin(_ policy: Int, _ request: LuaValue?) throws(SpecFault) -> Int {
        let policy = try self.policy(policy)
        guard !policy.isClosed else { throw SpecFault("this policy was closed") }
        let exchange = try SpecExchange(policy, try SpecRequest(request))
        lastNumber += 1
        exchanges[lastNumber] = exchange
        exchange.start()
        return lastNumber
    }

    private func policy(_ number: Int) throws(SpecFault) -> SpecPolicy {
        guard let policy = policies[number] else { throw SpecFault("this policy belongs to a test that is over") }
        return policy
    }

    /// Ends policies, after the requests that they have.
    func close(_ number: Int) throws(SpecFault) {
        let policy = try policy(number)
        for number in exchanges.keys.sorted() where exchanges[number]?.policy === policy { exchanges[number]?.finish() }
        policy.close()
    }

    /// Lets the last hooks of policies go on until none waits.
    ///
    /// - Returns: a call that a stub has to answer first; `nil`: they have ended.
    func closing(_ number: Int) throws(SpecFault) -> LuaValue? {
        let policy = try policy(number)
        return try settle(policy) { policy.isClosing }
    }

    func respond(_ number: Int, _ response: SpecResponse) throws(SpecFault) {
        let exchange = try exchange(number)
        guard exchange.run != nil else { throw SpecFault("this request is over") }
        exchange.respond(response)
    }

    func exchange(_ number: Int) throws(SpecFault) -> SpecExchange {
        guard let exchange = exchanges[number] else { throw SpecFault("this result belongs to a test that is over") }
        return exchange
    }

    // MARK: Waiting

    /// Lets an exchange go on until no hook waits: other threads finish what hooks wait for, such as the check of a
    /// password, and time passes for those that sleep.
    ///
    /// - Returns: a call that a stub has to answer first; `nil`: no hook waits.
    func wait(_ number: Int) throws(SpecFault) -> LuaValue? {
        let exchange = try exchange(number)
        return try settle(exchange.policy) { exchange.isWaiting }
    }

    private func settle(_ policy: SpecPolicy, while isWaiting: () -> Bool) throws(SpecFault) -> LuaValue? {
        let end = Clock.now() &+ 10_000_000_000
        while true {
            if let call = calls.show() { return call }
            guard isWaiting() else { return nil }
            if policy.runPosted() { continue }
            var anyTime = UInt64.max / 4
            if alarms.isSleeping && alarms.ringNext(within: &anyTime) { continue }
            guard Clock.now() < end else { throw SpecFault("a hook still waits after 10 s") }
            usleep(500)
        }
    }

    /// Stops the clock; `pass` then moves it on.
    func advance(by nanoseconds: UInt64) {
        world.clock.advance(by: 0)
        timeLeft = nanoseconds
    }

    /// Lets the time pass that `advance` gave; timers that come due run.
    ///
    /// - Returns: a call that a stub has to answer first; `nil`: all of the time has passed.
    func pass() -> LuaValue? {
        repeat {
            for policy in policies.values { _ = policy.runPosted() }
            if let call = calls.show() { return call }
        } while alarms.ringNext(within: &timeLeft)
        alarms.pass(timeLeft)
        timeLeft = 0
        return nil
    }
}

extension SpecLog.Line: CustomStringConvertible {
    var description: String {
        let shown = fields.filter { !["traceback", "request"].contains($0.key) }.sorted { $0.key < $1.key }
        let suffix = shown.map { " \($0.key)=\($0.value)" }.joined()
        let trace = fields["traceback"].map { $0.isEmpty ? "" : "\n\($0)" } ?? ""
        return "\(level): \(message)\(suffix)\(trace)"
    }
}
