import MoongateConfig

/// The addresses behind one configured endpoint: itself if it is a literal, else what DNS says, watched as long as the host is
/// configured. A failed question keeps the last addresses.
final class ResolvedHost {
    /// What tells one host from another in the configuration.
    struct Identity: Hashable {
        var address: SocketAddressConfig
        var lookup: UpstreamConfig.Endpoint.Lookup
    }

    let identity: Identity
    private(set) var endpoints: [NamedEndpoint] = []
    /// Why the last look-up failed, for clients, so without the name.
    private(set) var failure: String?
    private(set) var isFirstAnswerPending = false

    /// What a certificate of the endpoints is to be for: the host, or the domain of the service (RFC 6125 §6.2.1); not what DNS
    /// says, which anybody may have written.
    let name: String

    private var weight: Int
    private var priority: Int
    /// Nanoseconds after which the name is asked again at the latest.
    private var refresh: UInt64
    private let services: UpstreamServices
    private let changed: () -> Void
    private var found: [NamedEndpoint] = []
    private var watch: Resolver.Watch?

    init(
        _ config: UpstreamConfig.Endpoint, refresh: UInt64, services: UpstreamServices, changed: @escaping () -> Void
    ) {
        identity = Identity(config)
        name = identity.domain
        weight = config.weight
        priority = config.priority
        self.refresh = refresh
        self.services = services
        self.changed = changed
        if let literal { found = [NamedEndpoint(address: literal)] }
        setEndpoints()
    }

    private var literal: SocketAddress? {
        identity.lookup == .address
            ? SocketAddress(host: identity.address.host, port: identity.address.port) : nil
    }

    /// Takes over what the configuration says now.
    func update(_ config: UpstreamConfig.Endpoint, refresh: UInt64) {
        weight = config.weight
        priority = config.priority
        setEndpoints()
        guard refresh != self.refresh else { return }
        self.refresh = refresh
        if watch != nil { observe() }
    }

    /// Asks for the first time; later calls do nothing.
    func start() {
        guard watch == nil, literal == nil else { return }
        isFirstAnswerPending = true
        observe()
    }

    private func observe() {
        let mailbox = services.loop.mailbox
        let box = LoopBound(self)
        let name = identity.address.host
        let question = identity.lookup == .address ? NameQuestion.host(name) : .service(name)
        watch = services.resolver.watch(question, refresh: refresh) { answer in
            mailbox.post { box.value?.answered(answer) }
        }
    }

    private func answered(_ answer: NameAnswer) {
        let wasPending = isFirstAnswerPending
        isFirstAnswerPending = false
        switch answer {
        case .success(let found):
            failure = nil
            let hasChanged = Set(found) != Set(self.found)
            self.found = found
            setEndpoints()
            if hasChanged || wasPending { changed() }
        case .failure(let reason):
            failure = "cannot resolve a name: \(reason.told)"
            if wasPending { changed() }
        }
    }

    private func setEndpoints() {
        let port = identity.address.port
        endpoints = found.map { item in
            guard identity.lookup == .address else {
                var item = item
                item.priority += priority
                return item
            }
            var address = item.address
            address.port = port
            return NamedEndpoint(address: address, weight: weight, priority: priority)
        }
    }
}

extension ResolvedHost.Identity {
    init(_ config: UpstreamConfig.Endpoint) { self.init(address: config.address, lookup: config.lookup) }

    /// Without the labels of service and protocol in front.
    fileprivate var domain: String {
        guard lookup == .service else { return address.host }
        return address.host.split(separator: ".").drop { $0.hasPrefix("_") }.joined(separator: ".")
    }
}
