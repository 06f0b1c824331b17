import Glibc
import Logging
import MoongateConfig

/// A worker with everything that belongs to it, on the calling thread, which turns its loop: what can be repeated step by step.
/// For fuzzing and for counting instructions. Nothing listens: clients come over socket pairs.
final class InlineEdge {
    struct Fault: Error, CustomStringConvertible {
        let description: String
    }

    /// The two ends of a client's connection.
    struct Ends {
        let client: Int32
        /// Belongs to the edge.
        let edge: Int32
    }

    private struct Replaced {
        weak var generation: Generation?
    }

    let loop: EventLoop
    let registry: MetricsRegistry
    let worker: Worker
    private let loader: GenerationLoader
    private let limiter: ConnectionLimiter
    private var generation: Generation
    private var replaced: [Replaced] = []
    private var listeners: [ListenerSettings]
    /// Kept: others hold only parts of them.
    private let keep: [AnyObject]

    /// - Parameters:
    ///   - path: of the configuration.
    ///   - names: who answers questions about names, on this thread as well; `nil`: DNS.
    ///   - scriptsTakeTurns: the time of scripts in a turn is limited, as on every worker. Under a simulator of the processor each tick
    ///     of 10 ms would come with some ten requests, and not with a thousand.
    init(configuration path: AbsolutePath, names: NameSource? = nil, scriptsTakeTurns: Bool = true) throws {
        ProcessSignals.takeOver()
        let silent = Logger(label: "inline") { _ in SwiftLogNoOpLogHandler() }
        let parts = ServerPlan.Parts(
            path: path, ticketKeys: TicketKeys(), logger: { _ in silent }, verifier: nil, workshop: nil)
        let plan = try FileSnapshot.consistent { try ServerPlan(parts, $0) }.result.get()
        registry = plan.registry
        loader = plan.loader
        generation = plan.candidate.generation
        listeners = plan.candidate.listeners
        let accessLog = try AccessLog(metrics: registry)
        registry.copies.setLimit(generation.config.limits.copyBuffer)
        loop = try EventLoop(copies: registry.copies)
        let (resolver, known) = try InlineEdge.resolver(
            names, loop, DNSSettings(generation.config.dns), ResolverLog(registry.process, log: silent))
        worker = try Worker(
            WorkerPlan(
                index: 0, generation: generation, registry: registry, accessLog: accessLog, resolver: resolver,
                distributor: ConnectionDistributor(workers: 1) { _, _ in },
                engines: plan.candidate.engines.first, log: silent),
            loop: loop)
        if !scriptsTakeTurns { worker.policies.turn.awaitShare = nil }
        limiter = ConnectionLimiter(registry: registry, logger: silent)
        keep = [accessLog, resolver] + known
    }

    private static func resolver(
        _ names: NameSource?, _ loop: EventLoop, _ settings: DNSSettings, _ resolverLog: ResolverLog
    ) throws -> (Resolver, [AnyObject]) {
        guard let names else { return (try Resolver(settings, resolverLog: resolverLog), []) }
        let known = ResolverNames(loop: loop, source: names, resolverLog: resolverLog)
        return (Resolver(inline: known), [known])
    }

    /// A new connection of a client to the first listener.
    func connect() throws -> Ends {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0 else {
            throw Fault(description: "no sockets: \(String(cString: strerror(errno)))")
        }
        guard let listener = listeners.first, let address = SocketAddress(host: "127.0.0.1", port: 4711),
            case .permit(let permit) = limiter.admit(listener, address)
        else { throw Fault(description: "connections are counted that have ended") }
        worker.accept(
            AcceptedConnection(descriptor: ends[0], remote: address, local: address, listener: listener, permit: permit)
        )
        return Ends(client: ends[1], edge: ends[0])
    }

    /// Generations that something still uses, the one in force not among them.
    var replacedGenerations: Int {
        replaced.removeAll { $0.generation == nil }
        return replaced.count
    }

    /// Puts the files in force as they are now, as a reload does; script engines go on where no policy has changed.
    func reload() throws {
        let next = try FileSnapshot.consistent { [loader, generation] reader in
            try loader.load(reader, number: generation.number + 1, previous: generation.program)
        }.result.get()
        replaced.append(Replaced(generation: generation))
        generation = next.generation
        listeners = next.listeners
        registry.copies.setLimit(generation.config.limits.copyBuffer)
        generation.program.takeEffect()
        worker.adopt(generation, next.engines.first)
    }
}
