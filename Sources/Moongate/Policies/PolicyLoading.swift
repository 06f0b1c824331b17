import MoongateConfig
import MoongateLua

/// Loads the files of a program into a host's VM and initialises the instances.
struct PolicyLoading {
    private struct Hooks {
        var request: LuaReference?
        var response: LuaReference?
        var message: LuaReference?
        var log: LuaReference?
        var initialise: LuaReference?
        var close: LuaReference?
        var hasEnvoyRequest = false
        var hasEnvoyResponse = false
    }
    private let host: PolicyHost
    private var diagnostics: [Diagnostic] = []

    init(host: PolicyHost) { self.host = host }

    mutating func run() throws(DiagnosticList) {
        do {
            try PolicyClasses.define(in: host.vm)
        } catch {
            throw DiagnosticList([Diagnostic(location: .unknown, message: "script engine: \(error.message)")])
        }
        let hooks = host.program.files.enumerated().map { index, file in
            // What the main chunk does is put down to the file's first use.
            host.loading = Int32(host.program.instances.firstIndex { $0.file == index } ?? -1)
            return load(file, host.accounts[index])
        }
        for (index, instance) in host.program.instances.enumerated() {
            host.loading = Int32(index)
            if let hooks = hooks[instance.file] { initialise(index, instance, hooks) }
        }
        host.loading = -1
        if !diagnostics.isEmpty { throw DiagnosticList(diagnostics) }
    }

    private mutating func load(_ file: PolicyProgram.File, _ account: LuaAccount) -> Hooks? {
        host.holdings.file = file.chunkName
        host.hasLoadTimers = false
        do {
            let loaded = try host.vm.load(
                file.source, name: file.chunkName, account: account, milliseconds: file.loadMilliseconds)
            let hooks = Hooks(
                request: try hook("request", loaded, file), response: try hook("response", loaded, file),
                message: try host.vm.function("on_grpc_message", in: loaded),
                log: try host.vm.function("on_log", in: loaded),
                initialise: try host.vm.function("on_init", in: loaded),
                close: try host.vm.function("on_close", in: loaded),
                hasEnvoyRequest: try host.vm.function("envoy_on_request", in: loaded) != nil,
                hasEnvoyResponse: try host.vm.function("envoy_on_response", in: loaded) != nil)
            let faults = PolicyHookNames.faults(
                try host.vm.functionNames(in: loaded), source: file.source, hasTimers: host.hasLoadTimers)
            diagnostics += faults.map { $0.diagnostic(in: file) }
            return faults.isEmpty ? hooks : nil
        } catch {
            report(error, file, otherwise: SourceLocation(file: file.path, line: 0, column: 0))
            return nil
        }
    }

    /// The hook of a phase under either of its names.
    private func hook(_ phase: String, _ loaded: LuaFile, _ file: PolicyProgram.File) throws(LuaError) -> LuaReference?
    {
        let native = try host.vm.function("on_\(phase)", in: loaded)
        let envoy = try host.vm.function("envoy_on_\(phase)", in: loaded)
        guard native == nil || envoy == nil else {
            throw LuaError(reason: .runtime, message: "on_\(phase) and envoy_on_\(phase) are the same hook; keep one")
        }
        return native ?? envoy
    }

    /// The function with the time limit of this use of the file.
    private func limited(
        _ function: LuaReference?, _ instance: PolicyProgram.Instance
    ) throws(LuaError) -> LuaReference? {
        guard let function, instance.milliseconds != host.program.limits.milliseconds else { return function }
        return try host.vm.limited(function, milliseconds: instance.milliseconds)
    }

    /// What calls the hook for each message, with the time limit of this use of the file; 0: there is no such hook.
    private func messageLoop(
        _ hook: LuaReference?, _ instance: PolicyProgram.Instance
    ) throws(LuaError) -> Int32 {
        guard let hook = try limited(hook, instance) else { return 0 }
        return try host.vm.messageLoop(over: hook).raw
    }

    private mutating func initialise(_ index: Int, _ instance: PolicyProgram.Instance, _ hooks: Hooks) {
        let file = host.program.files[instance.file]
        host.holdings.file = file.chunkName
        do throws(LuaError) {
            let config = try host.vm.makeTable(LuaValue(instance.settings))
            host.instances[index].config = config.raw
            host.instances[index].request = try limited(hooks.request, instance)?.raw ?? 0
            host.instances[index].response = try limited(hooks.response, instance)?.raw ?? 0
            host.instances[index].messages = try messageLoop(hooks.message, instance)
            host.instances[index].hasEnvoyRequest = hooks.hasEnvoyRequest
            host.instances[index].hasEnvoyResponse = hooks.hasEnvoyResponse
            host.instances[index].log = try limited(hooks.log, instance)?.raw ?? 0
            host.instances[index].close = try limited(hooks.close, instance)?.raw ?? 0
            if hooks.log != nil { host.hasLogHooks = true }
            guard let initialise = hooks.initialise else { return }
            // Loading is no hook: nobody waits for an answer meanwhile.
            let patient = try host.vm.limited(initialise, milliseconds: instance.loadMilliseconds)
            defer { host.vm.release(patient) }
            if host.vm.start(patient, argument: config) != .finished { throw host.vm.lastError }
        } catch {
            var named = error
            if error.line(in: file.chunkName) == 0 { named.message = "policy \(instance.name): \(error.message)" }
            report(named, file, otherwise: instance.location)
        }
    }

    /// Errors that name a line of the file get that place, without saying it twice.
    private mutating func report(_ error: LuaError, _ file: PolicyProgram.File, otherwise: SourceLocation) {
        let line = error.line(in: file.chunkName)
        let hint = error.reason == .time ? "load_time_limit says how long a policy may take to load" : nil
        guard line > 0 else {
            diagnostics.append(Diagnostic(location: otherwise, message: error.message, hint: hint))
            return
        }
        let prefix = "\(file.chunkName):\(line): "
        let message = error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message
        let location = SourceLocation(file: file.path, line: file.firstLine - 1 + line, column: 0)
        diagnostics.append(Diagnostic(location: location, message: message, hint: hint))
    }
}
