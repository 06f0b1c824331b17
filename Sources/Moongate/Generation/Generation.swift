import MoongateConfig

/// One configuration, compiled: immutable, shared by all workers, alive until its last exchange has ended.
final class Generation: @unchecked Sendable {
    // Unchecked because of the pointer to the compiled routes, which are written in `init` only.

    /// Counts from 1 with every configuration that was put in force.
    let number: UInt64
    let config: Configuration
    let routeTable: RouteTable
    let metrics: GenerationMetrics
    let program: PolicyProgram
    let upstreamNames: NameIndex
    /// By the upstream's name; those in cleartext have none.
    let upstreamTLS: [String: TLSClientContext]
    /// Some listener answers health checks itself.
    let hasHealthService: Bool
    /// How the process is doing.
    let process: ProcessMetrics
    private let routes: UnsafeMutablePointer<CompiledRoute>
    /// By the listener's index.
    private let edgeHeaders: UnsafeMutablePointer<EdgeHeaderRules>
    let listenerIdentities: [ListenerIdentity]
    /// By `ListenerIdentity`: the listener's index in the configuration, -1 for listeners that are gone.
    private let listeners: [Int]

    /// - Throws: what is wrong with the routes and the listeners' headers.
    init(
        number: UInt64, config: Configuration, program: PolicyProgram, registry: MetricsRegistry,
        upstreamTLS: [String: TLSClientContext] = [:]
    ) throws(DiagnosticList) {
        self.upstreamTLS = upstreamTLS
        self.program = program
        upstreamNames = NameIndex(config.upstreams.map(\.name))
        self.number = number
        self.config = config
        let edits = try Generation.edits(config)
        let table = try RouteTable(config)
        routeTable = table
        edgeHeaders = try Generation.edgeHeaders(config.listeners)
        metrics = GenerationMetrics(
            registry: registry, routes: config.routes.map(\.name), upstreams: config.upstreams.map(\.name),
            listeners: config.listeners.map(\.name), policies: program.instances.map(\.name))
        for instance in program.instances { instance.stats.loaded(in: number) }
        hasHealthService = config.listeners.contains(where: \.grpcHealth)
        process = registry.process
        listenerIdentities = config.listeners.map { ListenerIdentity.of($0.name) }
        listeners = Generation.indexes(listenerIdentities)
        routes = Generation.compile(config, edits, registry)
    }

    deinit {
        for index in config.routes.indices { routes[index].free() }
        routes.deallocate()
        for index in config.listeners.indices { edgeHeaders[index].free() }
        edgeHeaders.deallocate()
    }

    /// Unchecked: `index` must be one that the route table gave.
    @inline(__always) func route(_ index: Int) -> UnsafePointer<CompiledRoute> { UnsafePointer(routes + index) }

    /// -1 if the listener is not part of this generation.
    @inline(__always) func listenerIndex(_ listener: ListenerIdentity) -> Int {
        listener.number < listeners.count ? listeners[listener.number] : -1
    }

    /// `nil` if the listener is not part of this generation.
    @inline(__always) func edgeHeaderRules(_ listener: ListenerIdentity) -> UnsafePointer<EdgeHeaderRules>? {
        let index = listenerIndex(listener)
        return index >= 0 ? UnsafePointer(edgeHeaders + index) : nil
    }

    private static func edits(_ config: Configuration) throws(DiagnosticList) -> [RouteEdits?] {
        var faults: [Diagnostic] = []
        let lenient = config.listeners.filter { $0.paths == .lenient }.map(\.name)
        let edits = config.routes.map { route -> RouteEdits? in
            let isLenient = lenient.contains { route.listeners.isEmpty || route.listeners.contains($0) }
            do throws(Diagnostic) {
                return try RouteEdits(route, isLenient: isLenient)
            } catch {
                faults.append(error)
                return nil
            }
        }
        guard faults.isEmpty else { throw DiagnosticList(faults) }
        return edits
    }

    private static func edgeHeaders(
        _ listeners: [ListenerConfig]
    ) throws(DiagnosticList) -> UnsafeMutablePointer<EdgeHeaderRules> {
        var made: [EdgeHeaderRules] = []
        var faults: [Diagnostic] = []
        for listener in listeners {
            do throws(Diagnostic) {
                made.append(try EdgeHeaderRules(listener))
            } catch {
                faults.append(error)
            }
        }
        guard faults.isEmpty else {
            for rules in made { rules.free() }
            throw DiagnosticList(faults)
        }
        let rules = UnsafeMutablePointer<EdgeHeaderRules>.allocate(capacity: max(1, made.count))
        rules.initialize(from: made, count: made.count)
        return rules
    }

    private static func indexes(_ listeners: [ListenerIdentity]) -> [Int] {
        var indexes = [Int](repeating: -1, count: (listeners.map(\.number).max() ?? -1) + 1)
        for (index, listener) in listeners.enumerated() { indexes[listener.number] = index }
        return indexes
    }

    private static func compile(
        _ config: Configuration, _ edits: [RouteEdits?], _ registry: MetricsRegistry
    ) -> UnsafeMutablePointer<CompiledRoute> {
        let places = Dictionary(
            config.upstreams.enumerated().map { ($1.name, Int32($0)) }, uniquingKeysWith: { first, _ in first })
        let routes = UnsafeMutablePointer<CompiledRoute>.allocate(capacity: max(1, config.routes.count))
        for (index, route) in config.routes.enumerated() {
            let upstreams = route.upstreams.compactMap { places[$0.name] }
            let mirrors = route.mirrors.isEmpty ? nil : RouteMirrors(route, places: places, registry: registry)
            (routes + index).initialize(
                to: CompiledRoute(route, upstreams: upstreams, edits: edits[index], mirrors: mirrors))
        }
        return routes
    }
}
