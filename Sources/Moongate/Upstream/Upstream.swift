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
        /// A limit of the upstream is reached: trying again would not help.
        case overflow(String)
    }

    let name: String
    let nameBytes: Bytes
    private let services: UpstreamServices
    private var config: UpstreamConfig
    /// `nil`: cleartext.
    private var tls: TLSClientContext?
    private var hosts: [ResolvedHost] = []
    private var endpoints: [Endpoint] = []
    /// By the index in `endpoints`.
    private var weights: [Int] = []
    private var priorities: [Int] = []
    private var balancer: PriorityBalancer
    /// `nil`: the configuration hashes nothing.
    private(set) var requestHash: RequestHash?
    /// Whether there is a `requestHash`, for those who would count a reference to it.
    private(set) var hashesRequests = false
    private var random = FastRandom()
    /// Streams that came before any host name was resolved.
    private var waiting: PendingStreamQueue
    private let shared: SharedUpstream
    private let cells: UpstreamCells
    private let worker: Int
    /// `nil`: any number of requests. Kept by `shared`.
    private var requestLimit: Unmanaged<SharedLimit>?
    /// Of the endpoints' health, as far as it is known here.
    private var seenHealth: UInt32 = 0
    /// `nil`: no endpoint is warming up.
    private var slowStart: SlowStart?

    /// - Parameters:
    ///   - shared: what all workers share of it.
    ///   - worker: the number of this worker, which chooses its counters.
    init(
        _ config: UpstreamConfig, tls: TLSClientContext?, services: UpstreamServices, shared: SharedUpstream,
        worker: Int
    ) {
        self.tls = tls
        name = config.name
        nameBytes = Bytes.allocated(config.name)
        self.shared = shared
        waiting = PendingStreamQueue(permits: shared.pending)
        cells = UpstreamCells(row: shared.metrics.block.row(worker))
        self.worker = worker
        self.config = config
        self.services = services
        shared.use(config, tls: tls)
        requestLimit = Upstream.requestLimit(config, shared)
        balancer = PriorityBalancer(.roundRobin, [], start: 0)
        setRequestHash()
        setHosts()
    }

    private func setRequestHash() {
        hashesRequests = !config.hashOn.isEmpty
        requestHash = hashesRequests ? RequestHash(config.hashOn) : nil
    }

    /// With the last generation that has it; streams under way end in their own time.
    deinit {
        for endpoint in endpoints { endpoint.remove() }
        waiting.removeAll()
        nameBytes.base.deallocate()
    }

    /// Takes over a changed configuration.
    func update(_ new: UpstreamConfig, tls: TLSClientContext?) {
        use(tls)
        shared.use(new, tls: self.tls)
        guard new != config else { return }
        let needsNewEndpoints = new.endpointDesign != config.endpointDesign
        let hashChanged = new.hashOn != config.hashOn
        config = new
        if hashChanged { setRequestHash() }
        requestLimit = Upstream.requestLimit(new, shared)
        if needsNewEndpoints { removeEndpoints { _ in true } }
        setHosts()
    }

    /// The servers that its name stands for.
    var target: UpstreamTarget { UpstreamTarget(config) }

    private static func requestLimit(_ config: UpstreamConfig, _ shared: SharedUpstream) -> Unmanaged<SharedLimit>? {
        config.limits.maxRequests == nil ? nil : Unmanaged.passUnretained(shared.requests)
    }

    /// Connections from now on use `new`; where nothing has changed in it, the sessions of the old one go on.
    private func use(_ new: TLSClientContext?) {
        if let new, let tls, new.isSame(as: tls) { return }
        tls = new
        for endpoint in endpoints { endpoint.tls = endpoint.tls.flatMap { peer(host: $0.host) } }
    }

    private func peer(host: String) -> TLSPeer? { tls.map { TLSPeer($0, host: host) } }

    /// Chooses an endpoint for a stream and finds room there. `excluding`: where it was tried already. `wish`: what a
    /// policy asks for.
    func assign(_ pendingStream: PendingStream, excluding: Endpoint? = nil, wish: EndpointPreference? = nil)
        -> Assignment
    {
        if let requestLimit, requestLimit._withUnsafeGuaranteedRef({ $0.isFull }) { return overflow(.requests) }
        if shared.healthVersion != seenHealth { noteHealth() }
        if let wish { return assign(pendingStream, excluding, wish) }
        guard let endpoint = pick(excluding) ?? (excluding == nil ? nil : pick(nil)) else {
            return unavailable(pendingStream, nil)
        }
        return endpoint.assign(pendingStream)
    }

    /// A stream that waits for DNS is gone.
    func forget(_ owner: StreamOwner) { waiting.remove(owner) }

    private func assign(_ pendingStream: PendingStream, _ excluded: Endpoint?, _ wish: EndpointPreference) -> Assignment
    {
        let isBound = wish.isStrict && wish.address != nil
        let named = endpoints.first { (isBound || $0 !== excluded) && $0.isUsable && wish.names($0.address) }
        if isBound && named == nil && !awaitsFirstAnswer { return .unavailable("no healthy upstream") }
        guard let endpoint = named ?? (isBound ? nil : pick(excluded, hash: wish.hash) ?? pick(nil, hash: wish.hash))
        else {
            return unavailable(pendingStream, wish)
        }
        return endpoint.assign(pendingStream)
    }

    // MARK: Limits

    private func overflow(_ limit: UpstreamLimit) -> Assignment {
        cells.overflows(limit).add()
        return .overflow(shared.overflow(limit))
    }

    /// Whether another attempt at a request may be made now (`max_retries`, `retry_budget`). Every `true` is followed by
    /// one `endRetry`, when the attempt has ended; a `false` is counted.
    func tryBeginRetry() -> Bool {
        guard !shared.tryBeginRetry() else { return true }
        cells.overflows(.retries).add()
        return false
    }

    func endRetry() { shared.endRetry() }

    /// Why `tryBeginRetry` says no, for people.
    var retryOverflow: String { shared.overflow(.retries) }

    /// The endpoints as they are now.
    var report: [EndpointReport] {
        endpoints.enumerated().map { index, endpoint in
            EndpointReport(
                name: endpoint.name, weight: weights[index], isHealthy: endpoint.isHealthy,
                active: endpoint.activeStreams)
        }
    }

    private func pick(_ excluded: Endpoint?, hash: UInt64? = nil) -> Endpoint? {
        let endpoints = endpoints
        if hash == nil, let slowStart, let endpoint = pickWarming(slowStart, excluded) { return endpoint }
        let tried = excluded.flatMap { excluded in endpoints.firstIndex { $0 === excluded } } ?? -1
        let index = balancer.pick(random: random.next(), hash: hash, except: tried) { index in
            endpoints[index].isUsable
        } load: { index in
            endpoints[index].load
        }
        return index.map { endpoints[$0] }
    }

    // MARK: Health

    /// The health of some endpoint has changed, or which endpoints there are.
    private func noteHealth() {
        seenHealth = shared.healthVersion
        let plan = HealthPlan(
            endpoints.map(\.state.healthFlags), priorities: priorities, panicThreshold: config.panicThreshold)
        let now = Clock.now()
        let slow = config.slowStart.map(SlowStart.init)
        slowStart = nil
        for (endpoint, isAvailable) in zip(endpoints, plan.isAvailable) {
            endpoint.isAvailable = isAvailable
            let start = max(endpoint.state.healthySince, endpoint.recoveredAt)
            let isWarming = slow.map { !$0.isWarm(since: start, now: now) } ?? false
            endpoint.warmsSince = isWarming ? start : 0
            if isWarming { slowStart = slow }
        }
    }

    /// As `pick`, where endpoints that warm up are passed over now and then; `nil` if that leaves none.
    private func pickWarming(_ slowStart: SlowStart, _ excluded: Endpoint?) -> Endpoint? {
        let now = services.loop.now
        let endpoints = endpoints
        if endpoints.allSatisfy({ $0.warmsSince == 0 || slowStart.isWarm(since: $0.warmsSince, now: now) }) {
            self.slowStart = nil
            return nil
        }
        var lots = FastRandom(seed: random.next())
        let index = balancer.pick(random: random.next()) { index in
            let endpoint = endpoints[index]
            guard endpoint.isUsable && endpoint !== excluded else { return false }
            guard endpoint.warmsSince > 0 else { return true }
            return lots.fraction() < slowStart.share(since: endpoint.warmsSince, now: now)
        } load: { index in
            endpoints[index].load
        }
        return index.map { endpoints[$0] }
    }

    private var awaitsFirstAnswer: Bool { endpoints.isEmpty && hosts.contains(where: \.isFirstAnswerPending) }

    private func unavailable(_ pendingStream: PendingStream, _ wish: EndpointPreference?) -> Assignment {
        if awaitsFirstAnswer {
            return waiting.append(pendingStream, wish) ? .resolving : overflow(.pending)
        }
        let reason =
            endpoints.lazy.compactMap { $0.failure ?? $0.state.unhealthyReason }.first ?? hosts.lazy.compactMap(
                \.failure
            )
            .first ?? "no endpoint"
        return .unavailable("upstream \(name) has no usable endpoint: \(reason)")
    }

    // MARK: Addresses

    private func setHosts() {
        var kept = Dictionary(hosts.map { ($0.identity, $0) }, uniquingKeysWith: { first, _ in first })
        let refresh = config.dnsRefresh.nanoseconds
        hosts = config.endpoints.map { endpoint in
            if let host = kept.removeValue(forKey: ResolvedHost.Identity(endpoint)) {
                host.update(endpoint, refresh: refresh)
                return host
            }
            return ResolvedHost(endpoint, refresh: refresh, services: services) { [weak self] in
                self?.addressesChanged()
            }
        }
        for host in hosts { host.start() }
        addressesChanged()
    }

    private func addressesChanged() {
        var wanted: [(endpoint: NamedEndpoint, host: String)] = []
        var seen: Set<SocketAddress> = []
        for host in hosts {
            for endpoint in host.endpoints where seen.insert(endpoint.address).inserted {
                wanted.append((endpoint, host.name))
            }
        }
        // By its host's name an endpoint is addressed, and judged by its certificate.
        let names = Dictionary(wanted.map { ($0.endpoint.address, $0.host) }, uniquingKeysWith: { first, _ in first })
        removeEndpoints { endpoint in names[endpoint.address] != endpoint.host }
        let current = Dictionary(endpoints.map { ($0.address, $0) }, uniquingKeysWith: { first, _ in first })
        endpoints = wanted.map { item in
            current[item.endpoint.address]
                ?? Endpoint(
                    services: services, state: shared.join(item.endpoint.address, host: item.host),
                    connectTimeout: config.connectTimeout.nanoseconds, tls: peer(host: item.host), shared: shared,
                    worker: worker, requestLimit: requestLimit,
                    lifetime: ConnectionLifetime(config.connection ?? UpstreamConnectionConfig()), host: item.host)
        }
        weights = wanted.map(\.endpoint.weight)
        priorities = wanted.map(\.endpoint.priority)
        let watch = config.outlierDetection.map(OutlierWatch.init)
        for (endpoint, item) in zip(endpoints, wanted) {
            endpoint.watch = watch
            endpoint.state.note { details in
                details.weight = item.endpoint.weight
                details.priority = item.endpoint.priority
            }
        }
        noteHealth()
        let members = zip(endpoints, wanted).map { endpoint, item in
            BalancerMember(
                identity: endpoint.identity, weight: item.endpoint.weight, priority: item.endpoint.priority)
        }
        balancer = PriorityBalancer(Balancer.Kind(config), members, start: random.next())
        if !endpoints.isEmpty || !hosts.contains(where: \.isFirstAnswerPending) { serveWaiting() }
    }

    private func removeEndpoints(where isGone: (Endpoint) -> Bool) {
        for endpoint in endpoints where isGone(endpoint) { endpoint.remove() }
        endpoints.removeAll(where: isGone)
    }

    private func serveWaiting() {
        let end = waiting.end
        while let entry = waiting.pop(before: end) {
            let pendingStream = entry.pendingStream
            switch assign(pendingStream, wish: entry.wish) {
            case .connection(let connection): pendingStream.connectionReady(connection)
            case .waiting(let endpoint): pendingStream.waits(endpoint)
            case .resolving: break
            case .unavailable(let reason), .overflow(let reason): pendingStream.connectionFailed(reason)
            }
        }
    }
}

extension Balancer.Kind {
    fileprivate init(_ config: UpstreamConfig) {
        switch config.balance {
        case .roundRobin: self = .roundRobin
        case .leastRequest: self = .leastRequest
        case .random: self = .random
        case .ringHash:
            self = .ringHash(minimumSize: config.ringHash.minimumSize, maximumSize: config.ringHash.maximumSize)
        case .maglev: self = .maglev(tableSize: config.maglev.tableSize)
        }
    }
}
