import MoongateConfig

/// A named group of endpoints as one worker sees it. Carried over by reloads: connections, health and the
/// balancer's place stay where the configuration does not change.
final class Upstream {
    /// What became of a stream that wants a connection.
    enum Assignment {
        case connection(UpstreamConnection)
        /// It waits at this endpoint; its delegate hears how it went.
        case waiting(Endpoint)
        /// It waits for the first DNS answer.
        case resolving
        case unavailable(String)
    }

    let name: String
    let nameBytes: Bytes
    private let services: UpstreamServices
    private var config: UpstreamConfig
    private var hosts: [ResolvedHost] = []
    private var endpoints: [Endpoint] = []
    /// By the index in `endpoints`.
    private var weights: [Int] = []
    private var balancer: Balancer
    private var random = FastRandom()
    /// Streams that came before any host name was resolved.
    private var waiting: [(seeker: StreamSeeker, wish: EndpointWish?)] = []
    private let metrics: MetricsRegistry.Entry
    private let worker: Int

    /// - Parameter worker: the number of this worker, which chooses its counters.
    init(_ config: UpstreamConfig, services: UpstreamServices, metrics: MetricsRegistry.Entry, worker: Int) {
        name = config.name
        nameBytes = Bytes.allocated(config.name)
        self.metrics = metrics
        self.worker = worker
        self.config = config
        self.services = services
        balancer = Balancer(.roundRobin, weights: [], start: 0)
        setHosts()
    }

    /// With the last generation that has it; streams under way end in their own time.
    deinit {
        for endpoint in endpoints { endpoint.remove() }
        nameBytes.base.deallocate()
    }

    /// Takes over a changed configuration.
    func update(_ new: UpstreamConfig) {
        guard new != config else { return }
        let timeoutChanged = new.connectTimeout != config.connectTimeout
        config = new
        if timeoutChanged { removeEndpoints { _ in true } }
        setHosts()
    }

    /// Chooses an endpoint for a stream and finds room there. `excluding`: where it was tried already. `wish`: what a
    /// policy asks for.
    func assign(_ seeker: StreamSeeker, excluding: Endpoint? = nil, wish: EndpointWish? = nil) -> Assignment {
        if let wish { return assign(seeker, excluding, wish) }
        guard let endpoint = pick(excluding) ?? (excluding == nil ? nil : pick(nil)) else {
            return unavailable(seeker, nil)
        }
        guard let connection = endpoint.assign(seeker) else { return .waiting(endpoint) }
        return .connection(connection)
    }

    /// A stream that waits for DNS is gone.
    func forget(_ owner: UnsafeMutableRawPointer) {
        if let index = waiting.firstIndex(where: { $0.seeker.owner == owner }) { waiting.remove(at: index) }
    }

    private func assign(_ seeker: StreamSeeker, _ excluded: Endpoint?, _ wish: EndpointWish) -> Assignment {
        let named = endpoints.first { $0 !== excluded && $0.isUsable && wish.names($0.address) }
        let isBound = wish.isStrict && wish.address != nil
        if isBound && named == nil && !awaitsFirstAnswer { return .unavailable("no healthy upstream") }
        guard let endpoint = named ?? (isBound ? nil : pick(excluded, wish) ?? pick(nil, wish)) else {
            return unavailable(seeker, wish)
        }
        guard let connection = endpoint.assign(seeker) else { return .waiting(endpoint) }
        return .connection(connection)
    }

    private func pick(_ excluded: Endpoint?, _ wish: EndpointWish) -> Endpoint? {
        guard let hash = wish.hash else { return pick(excluded) }
        let index = RendezvousChoice.pick(hash, count: endpoints.count) { index in
            endpoints[index].identity
        } weight: { index in
            weights[index]
        } isUsable: { index in
            endpoints[index].isUsable && endpoints[index] !== excluded
        }
        return index.map { endpoints[$0] }
    }

    /// The endpoints as they are now.
    var report: [EndpointReport] {
        endpoints.enumerated().map { index, endpoint in
            EndpointReport(
                name: endpoint.name, weight: weights[index], isHealthy: endpoint.isUsable,
                active: endpoint.activeStreams)
        }
    }

    private func pick(_ excluded: Endpoint?) -> Endpoint? {
        let endpoints = endpoints
        let index = balancer.pick(random: random.next()) { index in
            endpoints[index].isUsable && endpoints[index] !== excluded
        } load: { index in
            endpoints[index].load
        }
        return index.map { endpoints[$0] }
    }

    private var awaitsFirstAnswer: Bool { endpoints.isEmpty && hosts.contains(where: \.isFirstAnswerPending) }

    private func unavailable(_ seeker: StreamSeeker, _ wish: EndpointWish?) -> Assignment {
        if awaitsFirstAnswer {
            waiting.append((seeker, wish))
            return .resolving
        }
        let reason =
            endpoints.lazy.compactMap(\.failure).first ?? hosts.lazy.compactMap(\.failure).first ?? "no endpoint"
        return .unavailable("upstream \(name) has no usable endpoint: \(reason)")
    }

    // MARK: Addresses

    private func setHosts() {
        var kept = Dictionary(hosts.map { ($0.address, $0) }, uniquingKeysWith: { first, _ in first })
        hosts = config.endpoints.map { endpoint in
            if let host = kept.removeValue(forKey: endpoint.address) {
                host.weight = endpoint.weight
                host.refresh = config.dnsRefresh.nanoseconds
                return host
            }
            return ResolvedHost(
                endpoint.address, weight: endpoint.weight, refresh: config.dnsRefresh.nanoseconds, services: services
            ) { [weak self] in self?.addressesChanged() }
        }
        for host in hosts { host.start() }
        addressesChanged()
    }

    private func addressesChanged() {
        var wanted: [(address: SocketAddress, weight: Int)] = []
        for host in hosts {
            for address in host.addresses where !wanted.contains(where: { $0.address == address }) {
                wanted.append((address, host.weight))
            }
        }
        let current = Dictionary(endpoints.map { ($0.address, $0) }, uniquingKeysWith: { first, _ in first })
        removeEndpoints { endpoint in !wanted.contains { $0.address == endpoint.address } }
        endpoints = wanted.map { item in
            current[item.address]
                ?? Endpoint(
                    services: services, address: item.address, connectTimeout: config.connectTimeout.nanoseconds,
                    metrics: metrics, worker: worker)
        }
        weights = wanted.map(\.weight)
        balancer = Balancer(
            config.balance == .roundRobin ? .roundRobin : .leastRequest, weights: weights,
            start: random.next())
        if !endpoints.isEmpty || !hosts.contains(where: \.isFirstAnswerPending) { serveWaiting() }
    }

    private func removeEndpoints(where isGone: (Endpoint) -> Bool) {
        for endpoint in endpoints where isGone(endpoint) { endpoint.remove() }
        endpoints.removeAll(where: isGone)
    }

    private func serveWaiting() {
        let seekers = waiting
        waiting = []
        for (seeker, wish) in seekers {
            switch assign(seeker, wish: wish) {
            case .connection(let connection): seeker.connectionReady(connection)
            case .waiting(let endpoint): seeker.waits(endpoint)
            case .resolving: break
            case .unavailable(let reason): seeker.connectionFailed(reason)
            }
        }
    }
}
