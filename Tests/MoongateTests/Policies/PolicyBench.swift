import CMoongate
import Glibc
import Logging
import MoongateConfig
import MoongateLua
import Testing

@testable import Moongate

/// Policies with exchanges in memory: no sockets, the real bindings.
final class PolicyBench {
    struct Use {
        var file: String
        var settings: SettingValue = .table([])
        var onError = PolicyReference.OnError.deny
        init(_ file: String, settings: SettingValue = .table([]), onError: PolicyReference.OnError = .deny) {
            self.file = file
            self.settings = settings
            self.onError = onError
        }
    }

    /// One request with its response.
    final class Call {
        let request = HeaderList()
        let response = HeaderList()
        let run: PolicyRun
        private let set: PolicySet

        init(_ bench: PolicyBench, _ headers: [(String, String)]) throws {
            set = bench.set
            run = try #require(bench.set.begin(owner: Unmanaged.passUnretained(bench).toOpaque()))
            for (name, value) in headers { request.add(name, value) }
            run.subject.request = request
            run.subject.response = response
            run.subject.connection = .passUnretained(bench.facts)
            run.subject.client = ClientAddress(bench.facts.peer)
            run.subject.upstreamNames = .passUnretained(bench.upstreams)
            run.subject.routeName = Bytes("main-route")
            run.subject.requestNumber = 0xbeef
            run.subject.view = .passUnretained(bench.view)
            run.subject.listener = 0
        }

        var subject: PolicySubject { run.subject }
        var body: String { run.replyBody.string }

        func end() { set.end(run) }

        deinit {
            request.destroy()
            response.destroy()
        }
    }

    let host = PolicyHost()
    let set: PolicySet
    let program: PolicyProgram
    let services: PolicyServices
    let facts: ConnectionFacts
    let upstreams = NameIndex(["stable", "canary"])
    let view: PolicyView
    let log = CapturedLog()
    let registry = MetricsRegistry(workers: 1)
    /// Work that other threads posted.
    let posted = Locked<[@Sendable () -> Void]>([])
    var verdicts: [PolicyVerdict] = []

    static let grpc = [
        (":method", "POST"), (":scheme", "http"), (":path", "/shop.Cart/Add"), (":authority", "shop.example:8080"),
        ("content-type", "application/grpc"), ("te", "trailers"),
    ]

    init(
        _ files: [String: String], _ uses: [Use], data: [String: String] = [:], verifier: PasswordVerifier? = nil,
        limits: PolicySettings = PolicySettings(timeLimit: .seconds(5)), tls: ConnectionFacts.TLS? = nil,
        configure: (inout Configuration) -> Void = { _ in }
    ) throws {
        facts = ConnectionFacts(
            listener: .of("main"), listenerName: "main", peer: try #require(SocketAddress("10.1.2.3:5000")),
            local: try #require(SocketAddress("127.0.0.1:8080")), tls: tls)
        let log = log
        let logger = Logger(label: "test") { _ in CapturedHandler(log: log) }
        var config = Configuration(policies: limits)
        config.routes = [
            RouteConfig(
                name: "main",
                policies: uses.map { use in
                    PolicyReference(
                        name: use.file.hasSuffix(".lua") ? "/etc/\(use.file)" : use.file, settings: use.settings,
                        onError: use.onError, location: SourceLocation(file: "moongate.yaml", line: 7, column: 3))
                }, upstreams: [])
        ]
        config.listeners = [
            ListenerConfig(name: "main", address: SocketAddressConfig(host: "127.0.0.1", port: 8080))
        ]
        config.policies.path = ["/etc/policies"]
        config.upstreams = ["stable", "canary"].map { UpstreamConfig(name: $0, endpoints: []) }
        configure(&config)
        view = PolicyView(
            config, routeTable: try RouteTable(routes: config.routes, listeners: ["main"]), upstreams: [])
        var texts = data
        for (name, text) in files { texts["/etc/\(name)"] = text }
        services = PolicyServices(logger: logger, verifier: verifier, registry: registry, worker: 0)
        let made = try PolicyProgram.make(
            config, folder: "/etc", shipped: "/usr/share/policies", loader: .memory(texts), services: services)
        program = made.program
        set = PolicySet(program, made.engines.map { [host] in PolicyEngineLease($0, on: host) }, host: host)
        host.newest = set
        let posted = posted
        host.post = { work in posted.withLock { $0.append(work) } }
        host.resumed = { [unowned self] _, verdict in verdicts.append(verdict) }
    }

    /// One policy file.
    convenience init(_ text: String, settings: SettingValue = .table([]), onError: PolicyReference.OnError = .deny)
        throws
    {
        try self.init(["p.lua": text], [Use("p.lua", settings: settings, onError: onError)])
    }

    /// The script engine of a unit.
    func engine(_ unit: Int = 0) -> PolicyEngine { set.leases[unit].engine }

    var chain: PolicyChain { get throws { try #require(program.routeChain(0)) } }

    func call(_ headers: [(String, String)] = PolicyBench.grpc) throws -> Call { try Call(self, headers) }

    /// Runs the request hooks for one request and ends it.
    func request(_ headers: [(String, String)] = PolicyBench.grpc) throws -> (PolicyVerdict, Call) {
        let call = try call(headers)
        let verdict = call.run.startRequest(try chain)
        return (verdict, call)
    }

    /// Runs what was posted until `count` verdicts have come.
    func wait(for count: Int) {
        for _ in 0..<2000 where verdicts.count < count {
            let work = posted.withLock { list in
                defer { list = [] }
                return list
            }
            for each in work { each() }
            if work.isEmpty { usleep(5000) }
        }
    }
}

extension PolicySourceLoader {
    static func memory(_ files: [String: String]) -> PolicySourceLoader {
        PolicySourceLoader(
            read: { path, _ in
                guard let text = files[path] else { throw PolicyFileFault("no such file") }
                return Array(text.utf8)
            },
            exists: { path in files.keys.contains { $0 == path || $0.hasPrefix(path + "/") } })
    }
}

extension HeaderList {
    func add(_ name: String, _ value: String) {
        name.withBytes { name in value.withBytes { value in add(name: name, value: value) } }
    }

    subscript(name: String) -> String? {
        name.withBytes { name in index(of: name).map { self[$0].value.string } }
    }

    func all(_ name: String) -> [String] {
        (0..<count).filter { self[$0].name.string == name }.map { self[$0].value.string }
    }
}

/// Lines that a logger got, metadata behind them.
final class CapturedLog: Sendable {
    private let lines = Locked<[String]>([])
    func append(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
}

struct CapturedHandler: LogHandler {
    let log: CapturedLog
    var logLevel = Logger.Level.debug
    var metadata: Logger.Metadata = [:]
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        log.append("\(event.level): \(event.message) \(fields.joined(separator: " "))")
    }
}
