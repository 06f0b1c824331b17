import MoongateConfig

/// The addresses behind one configured endpoint: itself if it is a literal, else what DNS says, asked again at
/// intervals. A failed refresh keeps the last addresses.
final class ResolvedHost {
    /// How long a name that did not resolve waits before it is asked again.
    private static let retry: UInt64 = 1_000_000_000

    let address: SocketAddressConfig
    var weight: Int
    var priority: Int
    /// Nanoseconds between refreshes.
    var refresh: UInt64
    private(set) var addresses: [SocketAddress] = []
    /// Why the last look-up failed.
    private(set) var failure: String?
    private(set) var isFirstAnswerPending = false

    private let services: UpstreamServices
    private let changed: () -> Void
    private var timer: OwnedTimer?
    private var isStarted = false

    init(
        _ address: SocketAddressConfig, weight: Int, priority: Int, refresh: UInt64, services: UpstreamServices,
        changed: @escaping () -> Void
    ) {
        self.address = address
        self.weight = weight
        self.priority = priority
        self.refresh = refresh
        self.services = services
        self.changed = changed
        if let literal = SocketAddress(host: address.host, port: address.port) { addresses = [literal] }
    }

    /// Asks for the first time; later calls do nothing.
    func start() {
        guard !isStarted else { return }
        isStarted = true
        guard addresses.isEmpty else { return }
        isFirstAnswerPending = true
        timer = OwnedTimer(services.loop) { [weak self] in self?.resolve() }
        resolve()
    }

    private func resolve() {
        let mailbox = services.loop.mailbox
        let box = LoopBound(self)
        services.resolver.resolve(address.host, port: address.port) { answer in
            mailbox.post { box.value?.answered(answer) }
        }
    }

    private func answered(_ answer: Result<[SocketAddress], ResolutionFailure>) {
        let wasPending = isFirstAnswerPending
        isFirstAnswerPending = false
        switch answer {
        case .success(let found):
            failure = nil
            let hasChanged = Set(found) != Set(addresses)
            addresses = found
            timer?.set(after: refresh)
            if hasChanged || wasPending { changed() }
        case .failure(let reason):
            failure = "cannot resolve \(address.host): \(reason)"
            timer?.set(after: addresses.isEmpty ? ResolvedHost.retry : refresh)
            if wasPending { changed() }
        }
    }
}
