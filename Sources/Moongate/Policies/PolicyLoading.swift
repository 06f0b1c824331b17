import MoongateConfig
import MoongateLua

/// Loads the file of a unit into an engine's VM and initialises the instances.
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
    private let engine: PolicyEngine
    private var file: PolicyUnit.File { engine.unit.file }
    private let times: PolicyUnit.LoadTimes
    private var diagnostics: [Diagnostic] = []

    init(_ engine: PolicyEngine) {
        self.engine = engine
        times = engine.unit.loadTimes
    }

    mutating func run() throws(DiagnosticList) {
        do {
            try PolicyClasses.define(in: engine.vm)
        } catch {
            throw DiagnosticList([
                Diagnostic(location: .unknown, message: "the script engine of \(file.chunkName): \(error.message)")
            ])
        }
        // What the main chunk does is put down to the file's first use.
        engine.loading = 0
        let hooks = load()
        for (index, instance) in engine.unit.instances.enumerated() {
            engine.loading = Int32(index)
            if let hooks { initialise(index, instance, hooks) }
        }
        engine.loading = -1
        if !diagnostics.isEmpty { throw DiagnosticList(diagnostics) }
    }

    private mutating func load() -> Hooks? {
        do {
            let loaded = try engine.vm.load(
                file.source, name: file.chunkName, milliseconds: times.chunk)
            let hooks = Hooks(
                request: try hook("request", loaded), response: try hook("response", loaded),
                message: try engine.vm.function("on_grpc_message", in: loaded),
                log: try engine.vm.function("on_log", in: loaded),
                initialise: try engine.vm.function("on_init", in: loaded),
                close: try engine.vm.function("on_close", in: loaded),
                hasEnvoyRequest: try engine.vm.function("envoy_on_request", in: loaded) != nil,
                hasEnvoyResponse: try engine.vm.function("envoy_on_response", in: loaded) != nil)
            let faults = PolicyHookNames.faults(
                try engine.vm.functionNames(in: loaded), source: file.source, hasTimers: engine.hasLoadTimers)
            diagnostics += faults.map { $0.diagnostic(in: file) }
            return faults.isEmpty ? hooks : nil
        } catch {
            report(error, otherwise: SourceLocation(file: file.path, line: 0, column: 0))
            return nil
        }
    }

    /// The hook of a phase under either of its names.
    private func hook(_ phase: String, _ loaded: LuaFile) throws(LuaError) -> LuaReference? {
        let native = try engine.vm.function("on_\(phase)", in: loaded)
        let envoy = try engine.vm.function("envoy_on_\(phase)", in: loaded)
        guard native == nil || envoy == nil else {
            throw LuaError(reason: .runtime, message: "on_\(phase) and envoy_on_\(phase) are the same hook; keep one")
        }
        return native ?? envoy
    }

    /// The function with the time limit of this use of the file.
    private func limited(
        _ function: LuaReference?, _ instance: PolicyUnit.Instance
    ) throws(LuaError) -> LuaReference? {
        guard let function, instance.milliseconds != engine.unit.terms.milliseconds else { return function }
        return try engine.vm.limited(function, milliseconds: instance.milliseconds)
    }

    /// What calls the hook for each message, with the time limit of this use of the file; 0: there is no such hook.
    private func messageLoop(
        _ hook: LuaReference?, _ instance: PolicyUnit.Instance
    ) throws(LuaError) -> Int32 {
        guard let hook = try limited(hook, instance) else { return 0 }
        return try engine.vm.messageLoop(over: hook).raw
    }

    private mutating func initialise(_ index: Int, _ instance: PolicyUnit.Instance, _ hooks: Hooks) {
        do throws(LuaError) {
            let config = try engine.vm.makeTable(LuaValue(instance.settings))
            engine.instances[index].config = config.raw
            engine.instances[index].request = try limited(hooks.request, instance)?.raw ?? 0
            engine.instances[index].response = try limited(hooks.response, instance)?.raw ?? 0
            engine.instances[index].messages = try messageLoop(hooks.message, instance)
            engine.instances[index].hasEnvoyRequest = hooks.hasEnvoyRequest
            engine.instances[index].hasEnvoyResponse = hooks.hasEnvoyResponse
            engine.instances[index].log = try limited(hooks.log, instance)?.raw ?? 0
            engine.instances[index].close = try limited(hooks.close, instance)?.raw ?? 0
            guard let initialise = hooks.initialise else { return }
            // Loading is no hook: nobody waits for an answer meanwhile.
            let patient = try engine.vm.limited(initialise, milliseconds: times.instances[index])
            defer { engine.vm.release(patient) }
            if engine.vm.start(patient, argument: config) != .finished { throw engine.vm.lastError }
        } catch {
            var named = error
            if error.line(in: file.chunkName) == 0 { named.message = "policy \(instance.name): \(error.message)" }
            report(named, otherwise: instance.location)
        }
    }

    /// Errors that name a line of the file get that place, without saying it twice.
    private mutating func report(_ error: LuaError, otherwise: SourceLocation) {
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
