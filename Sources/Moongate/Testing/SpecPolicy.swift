import MoongateConfig
import MoongateLua

/// Policies as a spec loaded them: in script engines of their own, as on a route.
final class SpecPolicy {
    let program: PolicyProgram
    let host = PolicyHost()
    /// `nil` once they are closed.
    private(set) var set: PolicySet?
    let upstreams: [String]
    let upstreamIndex: NameIndex
    let routeName: Bytes
    /// The clock that its policies have.
    let clock: StateClock
    private(set) var isClosed = false
    /// An `on_close` waits.
    var isClosing: Bool { !host.closings.isIdle }
    /// What its policies call.
    private let calls: SpecUpstreams
    /// Work for the worker's thread, which other threads posted.
    private let posted = Locked<[@Sendable () -> Void]>([])

    /// - Throws: everything that is wrong with the policies or their settings.
    init(
        _ uses: [PolicyReference], _ options: SpecLoadOptions, _ world: SpecWorld, calls: SpecCalls, alarms: SpecAlarms
    ) throws(DiagnosticList) {
        var config = Configuration()
        config.policies.path = world.path
        config.secrets = options.secrets.keys.sorted().map {
            SecretConfig(name: $0, source: .file(SpecLoadOptions.secretPath($0)))
        }
        config.upstreams = options.upstreams.map { UpstreamConfig(name: $0, endpoints: []) }
        config.routes = [RouteConfig(name: options.route, policies: uses, upstreams: [])]
        let services = world.services()
        let made = try PolicyProgram.make(
            config, folder: world.folder, shipped: world.shipped, loader: world.loader(options.allFiles),
            services: services)
        program = made.program
        for unit in made.program.units { world.lines?.add(unit.file) }
        clock = services.registry.state.clock
        upstreams = options.upstreams
        upstreamIndex = NameIndex(options.upstreams)
        self.calls = SpecUpstreams(options.upstreams, calls)
        host.makeAlarm = { use, action in alarms.make(use, action) }
        routeName = Bytes.allocated(options.route)
        let posted = posted
        host.post = { work in posted.withLock { $0.append(work) } }
        host.resumed = { owner, verdict in
            Unmanaged<SpecExchange>.fromOpaque(owner).takeUnretainedValue().take(verdict)
        }
        host.account = { owner in Unmanaged<SpecExchange>.fromOpaque(owner).takeUnretainedValue().account }
        host.moved = { owner in Unmanaged<SpecExchange>.fromOpaque(owner).takeUnretainedValue().settle() }
        let set = PolicySet(program, made.engines.map { PolicyEngineLease($0, on: host) }, host: host)
        self.set = set
        set.serve(self.calls)
    }

    deinit { routeName.base.deallocate() }

    /// A reload has replaced the policies, and their last request is over.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        set = nil
    }

    /// Runs what other threads posted; false: there was nothing.
    func runPosted() -> Bool {
        let work = posted.withLock { list in
            defer { list = [] }
            return list
        }
        for each in work { each() }
        return !work.isEmpty
    }
}

/// The third argument of `load_policy`.
struct SpecLoadOptions {
    var files: [String: [UInt8]] = [:]
    /// By name.
    var secrets: [String: [UInt8]] = [:]
    var upstreams = ["main"]
    var route = "main"
    var onError = PolicyReference.OnError.deny

    private static let known = ["files", "on_error", "route", "secrets", "upstreams"]

    /// Where a secret's value lies among the files: no spec can name this place.
    static func secretPath(_ name: String) -> String { "/\0/\(name)" }

    /// What the spec gives instead of files on disk, and its secrets.
    var allFiles: [String: [UInt8]] {
        secrets.reduce(into: files) { files, secret in
            files[SpecLoadOptions.secretPath(secret.key)] = secret.value + [0x0a]
        }
    }

    /// - Throws: `SpecFault` for what is unknown or of the wrong kind.
    init(_ value: LuaValue?, folder: String) throws(SpecFault) {
        guard case .table(let entries)? = value else {
            guard value == nil || value == .null else { throw SpecFault("the options must be a table") }
            return
        }
        for entry in entries {
            guard case .string(let key) = entry.key else { throw SpecFault("options have names") }
            switch (key, entry.value) {
            case ("route", .string(let name)): route = name
            case ("on_error", .string(let text)): onError = try SpecLoadOptions.onError(text)
            case ("upstreams", .list(let names)): upstreams = names.compactMap(\.text)
            case ("secrets", .table(let secrets)):
                for secret in secrets {
                    guard let name = secret.key.text, let value = secret.value.stringBytes else {
                        throw SpecFault("secrets are texts, given by name")
                    }
                    self.secrets[name] = value
                }
            case ("files", .table(let files)):
                for file in files {
                    guard let name = file.key.text else { throw SpecFault("files are given by name") }
                    let path = name.hasPrefix("/") ? name : "\(folder)/\(name)"
                    self.files[path] = Array((file.value.text ?? SpecJSON.text(of: file.value)).utf8)
                }
            default:
                let isKnown = SpecLoadOptions.known.contains(key)
                throw SpecFault(
                    isKnown
                        ? "the option \(key) has the wrong type"
                        : "unknown option \"\(key)\" (known: \(SpecLoadOptions.known.joined(separator: ", ")))")
            }
        }
    }

    static func onError(_ text: String) throws(SpecFault) -> PolicyReference.OnError {
        guard let choice = PolicyReference.OnError(rawValue: text) else {
            let known = PolicyReference.OnError.allCases.map(\.rawValue).joined(separator: ", ")
            throw SpecFault("on_error must be one of: \(known)")
        }
        return choice
    }
}

/// A mistake in a spec.
struct SpecFault: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

/// Data files that a spec gives as tables: JSON, which is YAML, too.
enum SpecJSON {
    static func text(of value: LuaValue) -> String {
        switch value {
        case .null: "null"
        case .bool(let bool): bool ? "true" : "false"
        case .integer(let integer): "\(integer)"
        case .number(let number): "\(number)"
        case .string(let text): quoted(text)
        // JSON has no bytes: what is not UTF-8 is replaced, as a reader of the file would.
        case .bytes(let bytes): quoted(String(decoding: bytes, as: UTF8.self))
        case .list(let values): "[" + values.map(text).joined(separator: ", ") + "]"
        case .table(let entries):
            "{" + entries.map { quoted($0.key.text ?? "") + ": " + text(of: $0.value) }.sorted().joined(separator: ", ")
                + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 32 || scalar.value == 127:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
