import Logging
import MoongateConfig

/// Makes everything a configuration needs from its files, before anything of it is in force.
struct GenerationLoader: Sendable {
    /// A configuration that is sound and ready to be switched to.
    struct Candidate {
        let generation: Generation
        /// In the order of the configuration's listeners.
        let listeners: [ListenerSettings]
        let accessLog: LogDestination?
        /// For every worker the script engines of those policies that are new; empty where there are none.
        let engines: [Handover<[PolicyEngine]>]
        /// When the files of certificates end to be good.
        let certificates: [CertificateExpiry]
        /// Things worth knowing that do not keep the configuration from serving.
        let warnings: [Diagnostic]
    }

    /// Of the configuration file.
    let path: AbsolutePath
    let registry: MetricsRegistry
    let ticketKeys: TicketKeys
    /// For what policies log.
    let logger: Logger
    /// `nil`: nothing is going to run, so no password will be checked.
    let verifier: PasswordVerifier?
    /// `nil`: nothing is going to run, so no script engine will be replaced.
    var workshop: PolicyWorkshop?

    /// Reads, checks and compiles.
    /// - Parameter previous: the program in force, whose script engines may go on.
    /// - Throws: `DiagnosticList` with everything that is wrong, as far as it can be seen at once.
    func load(_ reader: FileSnapshotReader, number: UInt64, previous: PolicyProgram?) throws -> Candidate {
        let config = try configuration(reader)
        var faults: [Diagnostic] = []
        let policies = GenerationLoader.collect(&faults) { try makePolicies(config, reader, previous) }
        let lint = policies.map { PolicySourceLint.check($0.program) } ?? PolicySourceLint.Result()
        faults += lint.faults
        var warnings = lint.warnings
        let tls = tlsContexts(config, reader, &faults, &warnings)
        // Routes are checked even where the policies have faults, to report everything at once.
        let generation = GenerationLoader.collect(&faults) {
            let program = try policies?.program ?? emptyProgram(reader)
            return try Generation(
                number: number, config: config, program: program, registry: registry, upstreamTLS: tls.upstreams)
        }
        let listeners = config.listeners.compactMap { listener in
            GenerationLoader.collect(&faults) { try settings(listener, tls.listeners[listener.name]) }
        }
        let sensitive = SensitiveFiles(reader.snapshot)
        // Every other fault that is known names such a file already, unless a script has gone on without it.
        if faults.isEmpty { faults += sensitive.faults }
        warnings += sensitive.warnings
        let accessLog = GenerationLoader.collect(&faults) { try AccessLog.open(config.accessLog) }
        guard faults.isEmpty, let generation, let accessLog, let policies else { throw DiagnosticList(faults) }
        return Candidate(
            generation: generation, listeners: listeners, accessLog: accessLog, engines: policies.engines,
            certificates: tls.expiries, warnings: warnings)
    }

    // MARK: Policies

    private struct Policies {
        let program: PolicyProgram
        let engines: [Handover<[PolicyEngine]>]
    }

    private func makePolicies(
        _ config: Configuration, _ reader: FileSnapshotReader, _ previous: PolicyProgram?
    ) throws -> Policies {
        let made = try make(config, reader, previous)
        guard !made.engines.isEmpty else { return Policies(program: made.program, engines: []) }
        let others = try WorkerEngines.make(made.engines.map(\.unit), workers: 1..<max(1, registry.workers)) {
            services(worker: $0)
        }
        return Policies(program: made.program, engines: ([made.engines] + others).map { Handover($0) })
    }

    private func make(
        _ config: Configuration, _ reader: FileSnapshotReader, _ previous: PolicyProgram?
    ) throws -> PolicyProgram.Made {
        return try PolicyProgram.make(
            config, folder: path.folder, shipped: ShippedPolicies.folder(),
            loader: PolicySourceLoader(read: { try reader.read($0, as: $1) }, exists: { reader.exists($0) }),
            previous: previous, services: services(worker: 0))
    }

    private func emptyProgram(_ reader: FileSnapshotReader) throws -> PolicyProgram {
        try make(Configuration(), reader, nil).program
    }

    private func services(worker: Int) -> PolicyServices {
        PolicyServices(logger: logger, verifier: verifier, registry: registry, worker: worker, workshop: workshop)
    }

    // MARK: Parts

    private func configuration(_ reader: FileSnapshotReader) throws -> Configuration {
        let bytes = try GenerationLoader.read(path, reader)
        var config = try ConfigurationParser.parse(utf8: bytes, file: path)
        try UpstreamFiles.read(&config, reader)
        return config
    }

    static func read(_ path: AbsolutePath, _ reader: FileSnapshotReader) throws(DiagnosticList) -> [UInt8] {
        do {
            return try reader.read(path.text, as: .configuration)
        } catch {
            throw DiagnosticList([
                Diagnostic(
                    location: SourceLocation(file: path.text, line: 0, column: 0), message: error.message,
                    hint: error.hint ?? "name the configuration with --config")
            ])
        }
    }

    private func settings(_ listener: ListenerConfig, _ tls: TLSServerContext?) throws -> ListenerSettings {
        let connection = listener.connection ?? ListenerConnectionConfig()
        let limits = listener.limits ?? ListenerLimitsConfig()
        return ListenerSettings(
            identity: .of(listener.name), name: listener.name,
            maxConcurrentStreams: listener.maxConcurrentStreams, maxHeaderBytes: listener.maxHeaderBytes,
            maxHeaderFields: listener.maxHeaderFields,
            schedule: .init(connection), limits: ConnectionLimits(limits), abuse: AbuseLimits(limits),
            stalls: StallLimits(connection, limits), tls: tls,
            proxyProtocol: try listener.proxyProtocol.map { try ProxyProtocolRules($0) },
            forwardClientCertificate: listener.forwardClientCertificate)
    }

    private struct TLSContexts {
        /// By name.
        var listeners: [String: TLSServerContext] = [:]
        var upstreams: [String: TLSClientContext] = [:]
        var expiries: [CertificateExpiry] = []

        /// A file that is named twice is one.
        mutating func add(_ new: [CertificateExpiry]) {
            for expiry in new where !expiries.contains(expiry) { expiries.append(expiry) }
        }
    }

    private func tlsContexts(
        _ config: Configuration, _ reader: FileSnapshotReader, _ faults: inout [Diagnostic],
        _ warnings: inout [Diagnostic]
    ) -> TLSContexts {
        var contexts = TLSContexts()
        for listener in config.listeners {
            guard let tls = listener.tls else { continue }
            let made = GenerationLoader.collect(&faults) {
                try TLSServerContext(
                    listener: listener.name, config: tls, ticketKeys: ticketKeys, contents: reader.contents)
            }
            contexts.listeners[listener.name] = made
            contexts.add(made?.expiries ?? [])
            warnings += made?.warnings ?? []
        }
        for upstream in config.upstreams {
            guard let tls = upstream.tls else { continue }
            let made = GenerationLoader.collect(&faults) {
                try TLSClientContext(upstream: upstream.name, config: tls, contents: reader.contents)
            }
            contexts.upstreams[upstream.name] = made
            contexts.add(made?.expiries ?? [])
            warnings += made?.warnings ?? []
        }
        return contexts
    }

    /// The value, or its faults added to `faults`.
    private static func collect<Value>(_ faults: inout [Diagnostic], _ make: () throws -> Value) -> Value? {
        do {
            return try make()
        } catch let list as DiagnosticList {
            faults += list.diagnostics
        } catch let fault as Diagnostic {
            faults.append(fault)
        } catch {
            faults.append(Diagnostic(location: .unknown, message: "\(error)"))
        }
        return nil
    }
}
