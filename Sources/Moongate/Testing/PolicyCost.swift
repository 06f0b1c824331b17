import Logging
import MoongateConfig
import MoongateLua

/// What a policy costs by itself: a host with one policy and one request in memory, whose hooks run again and again, as
/// they would for an exchange. For `scripts/bench/policy`.
package final class PolicyCost {
    private let set: PolicySet
    private let program: PolicyProgram
    private let request = HeaderList()
    private let response = HeaderList()
    private let facts: ConnectionFacts
    private let upstreams = NameIndex(["main"])

    /// The head of a gRPC call with some metadata.
    private static let head = [
        (":method", "POST"), (":scheme", "http"), (":path", "/shop.Cart/Add"), (":authority", "shop.example:8080"),
        ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "grpc-go/1.60.0"),
        ("grpc-timeout", "5S"), ("x-user", "ada"), ("x-tenant", "acme"),
    ]

    /// - Parameter script: the policy's source.
    /// - Throws: what is wrong with it.
    package convenience init(script: String) throws {
        try self.init(script: script, registry: MetricsRegistry(workers: 1), worker: 0)
    }

    private init(script: String, registry: MetricsRegistry, worker: Int) throws {
        guard let remote = SocketAddress("10.1.2.3:5000"), let local = SocketAddress("127.0.0.1:8080") else {
            throw SpecFault("no addresses")
        }
        facts = ConnectionFacts(listener: .of("main"), listenerName: "main", peer: remote, local: local, tls: nil)
        var config = Configuration(policies: PolicySettings(timeLimit: .seconds(60)))
        config.routes = [
            RouteConfig(name: "main", policies: [PolicyReference(name: "/bench/policy.lua")], upstreams: [])
        ]
        let source = Array(script.utf8)
        let logger = Logger(label: "bench", factory: { _ in SwiftLogNoOpLogHandler() })
        let made = try PolicyProgram.make(
            config, folder: "/bench", shipped: nil,
            loader: PolicySourceLoader(read: { _, _ in source }, exists: { $0 == "/bench/policy.lua" }),
            services: PolicyServices(
                logger: logger, verifier: nil, registry: registry, worker: worker))
        let host = PolicyHost()
        set = PolicySet(made.program, made.engines.map { PolicyEngineLease($0, on: host) }, host: host)
        program = made.program
    }

    deinit {
        for (name, value) in literals {
            name.base.deallocate()
            value.base.deallocate()
        }
        request.destroy()
        response.destroy()
    }

    /// Runs the hooks for so many requests, one after the other.
    ///
    /// - Throws: when a hook does anything but proceed.
    package func run(times: Int) throws {
        guard let chain = program.routeChain(0) else { throw SpecFault("the policy runs nowhere") }
        for _ in 0..<times {
            fill()
            guard let run = set.begin(owner: nil) else { throw SpecFault("the policies have no memory left") }
            run.subject.request = request
            run.subject.response = response
            run.subject.connection = .passUnretained(facts)
            run.subject.client = ClientAddress(facts.peer)
            run.subject.upstreamNames = .passUnretained(upstreams)
            run.subject.routeName = Bytes("main")
            guard run.startRequest(chain) == .proceed else { throw SpecFault("the request hook did not proceed") }
            if run.hasResponseHooks, run.startResponse() != .proceed {
                throw SpecFault("the response hook did not proceed")
            }
            set.end(run)
        }
    }

    /// What several threads cost each other that run the same policy at the same time.
    package struct Together {
        /// Of each thread.
        package var nanosecondsPerRequest: Double
        /// How often one found a part of a shared dict locked.
        package var contended: UInt64
    }

    /// - Parameter requests: of each thread.
    package static func together(script: String, requests: Int, threads: Int) throws -> Together {
        let registry = MetricsRegistry(workers: threads)
        let costs = try (0..<threads).map { worker in
            Handover(try PolicyCost(script: script, registry: registry, worker: worker))
        }
        // They outlive the threads: with the last of them its dicts would end.
        let kept = registry.state.dicts.living()
        let failures = Locked(0)
        let began = Clock.now()
        let running = try costs.map { cost in
            try OSThread.start(name: "bench", stackSize: 8 << 20) {
                if let cost = cost.take(), (try? cost.run(times: requests)) != nil { return }
                failures.withLock { $0 += 1 }
            }
        }
        for thread in running { thread.join() }
        let time = Double(Clock.now() - began) / Double(max(1, requests))
        guard failures.withLock({ $0 }) == 0 else { throw SpecFault("a hook did not proceed") }
        return Together(
            nanosecondsPerRequest: time, contended: kept.reduce(0) { $0 &+ $1.figures.contended })
    }

    private func fill() {
        request.reset()
        response.reset()
        for (name, value) in literals { request.add(name: name, value: value) }
        response.add(":status", Bytes("200"))
    }

    private let literals: [(Bytes, Bytes)] = PolicyCost.head.map { (Bytes.allocated($0.0), Bytes.allocated($0.1)) }

    /// Bytes that the script engine holds after a full collection.
    package var engineMemory: Int {
        self.set.leases.reduce(0) { sum, lease in
            lease.engine.vm.collectGarbage()
            return sum + lease.engine.vm.memoryInUse
        }
    }

    /// Bytes of the process that are in memory.
    package static var residentMemory: UInt64 { ProcessStatus.read().residentBytes }
}
