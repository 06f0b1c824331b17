/// One name that somebody wants to know about: asked again when its answer has run out, and after failures with growing pauses.
/// Lives on the resolver's thread.
final class NameWatch {
    typealias Observer = @Sendable (NameAnswer) -> Void

    /// An answer is good for a second at least, whatever it says: the least load that a broken zone can cause.
    static let shortest: UInt64 = 1_000_000_000
    /// So many addresses of each of a service's hosts are used in any case.
    private static let leastShare = 8

    private struct Listener {
        let refresh: UInt64
        let observer: Observer
    }

    private let question: NameQuestion
    private let source: NameSource
    private let resolverLog: ResolverLog
    private var timer: OwnedTimer?
    private var listeners: [UInt64: Listener] = [:]
    /// What the listeners heard last; `nil`: nothing yet.
    private var known: NameAnswer?
    private var failures: UInt64 = 0
    /// Numbers the questions: an answer to one that was given up is not heard.
    private var asked: UInt64 = 0
    private var isAsking = false
    /// The last answer had more endpoints than are used, and somebody was told.
    private var wasCut = false
    /// The last addresses of the service's hosts: one that does not resolve now keeps them.
    private var hosts: [String: [SocketAddress]] = [:]

    init(_ question: NameQuestion, source: NameSource, resolverLog: ResolverLog, loop: EventLoop) {
        self.question = question
        self.source = source
        self.resolverLog = resolverLog
        timer = OwnedTimer(loop) { [weak self] in self?.ask() }
    }

    /// Nobody wants to know any more.
    var isIdle: Bool { listeners.isEmpty }

    /// - Parameter refresh: nanoseconds after which the name is asked again at the latest.
    func add(_ number: UInt64, refresh: UInt64, _ observer: @escaping Observer) {
        let isFirst = listeners.isEmpty
        let isSooner = refresh < (listeners.values.map(\.refresh).min() ?? refresh)
        listeners[number] = Listener(refresh: refresh, observer: observer)
        if let known { observer(known) }
        if isFirst || isSooner { ask() }
    }

    func remove(_ number: UInt64) { listeners[number] = nil }

    /// Asks now, unless a question is under way.
    private func ask() {
        guard !isAsking else { return }
        askAnew()
    }

    /// Asks now; a question under way is given up.
    func askAnew() {
        isAsking = true
        asked &+= 1
        let number = asked
        timer?.clear()
        switch question {
        case .host(let name):
            source.addresses(of: name) { [weak self] result in
                if case .success(let answer) = result { self?.noteCut(answer.isCut) }
                self?.answered(
                    number,
                    result.map { answer in
                        (answer.addresses.map { NamedEndpoint(address: $0) }, answer.timeToLive)
                    })
            }
        case .service(let name):
            source.services(of: name) { [weak self] result in
                switch result {
                case .success(let records): self?.resolveHosts(number, records)
                case .failure(let failure): self?.answered(number, .failure(failure))
                }
            }
        }
    }

    /// The hosts that offer the service, each once; the shortest time of all of them counts.
    private func resolveHosts(_ number: UInt64, _ records: ServiceRecords) {
        guard number == asked else { return }
        let names = Set(records.records.map(\.target))
        hosts = hosts.filter { names.contains($0.key) }
        let countdown = HostCountdown(waiting: names.count, timeToLive: records.timeToLive)
        for name in names {
            // A target may be a literal address, though RFC 2782 wants a name.
            if let literal = SocketAddress(host: name, port: 0) {
                hostResolved(number, records, countdown, name, .success(HostAddresses(addresses: [literal])))
                continue
            }
            source.addresses(of: name) { [weak self] result in
                self?.hostResolved(number, records, countdown, name, result)
            }
        }
    }

    private func hostResolved(
        _ number: UInt64, _ records: ServiceRecords, _ countdown: HostCountdown, _ name: String,
        _ result: Result<HostAddresses, NameFailure>
    ) {
        guard number == asked else { return }
        switch result {
        case .success(let answer):
            // Many targets with many addresses each would be more than all endpoints together may be.
            let share = max(NameWatch.leastShare, HostAddresses.limit / countdown.hosts)
            hosts[name] = Array(answer.addresses.prefix(share))
            countdown.timeToLive = min(countdown.timeToLive, answer.timeToLive ?? countdown.timeToLive)
        case .failure(let failure):
            countdown.failure = NameFailure(failure.told, of: name)
            // Not at the end of the service's time: the host may be back sooner.
            countdown.timeToLive = 0
        }
        countdown.waiting -= 1
        guard countdown.waiting == 0 else { return }
        let endpoints = records.endpoints(hosts)
        noteCut(endpoints.count == HostAddresses.limit)
        guard endpoints.isEmpty, let failure = countdown.failure else {
            return answered(number, .success((endpoints, countdown.timeToLive)))
        }
        answered(number, .failure(failure))
    }

    private func answered(_ number: UInt64, _ result: Result<([NamedEndpoint], timeToLive: UInt32?), NameFailure>) {
        guard number == asked else { return }
        isAsking = false
        let longest = listeners.values.map(\.refresh).min() ?? NameWatch.shortest
        switch result {
        case .success(let (endpoints, timeToLive)):
            resolverLog.answered(question, wasFailing: failures > 0)
            failures = 0
            let time = timeToLive.map { UInt64($0) * 1_000_000_000 } ?? longest
            timer?.set(after: max(NameWatch.shortest, min(time, longest)))
            tell(.success(endpoints))
        case .failure(let failure):
            timer?.set(after: pause(longest))
            resolverLog.failed(question, failure, isFirst: failures == 0)
            failures = min(failures + 1, 16)
            tell(.failure(failure))
        }
    }

    private func noteCut(_ isCut: Bool) {
        if isCut && !wasCut { resolverLog.cut(question, to: HostAddresses.limit) }
        wasCut = isCut
    }

    /// 1 s, then twice as long after every failure, up to `longest`, spread by ±20 %.
    private func pause(_ longest: UInt64) -> UInt64 {
        let time = max(NameWatch.shortest, min(NameWatch.shortest << failures, longest))
        return time / 10 * 8 + UInt64.random(in: 0...time / 10 * 4)
    }

    private func tell(_ answer: NameAnswer) {
        guard answer != known else { return }
        known = answer
        for listener in listeners.values { listener.observer(answer) }
    }
}

/// Hosts of one service whose addresses are not known yet.
private final class HostCountdown {
    let hosts: Int
    var waiting: Int
    var timeToLive: UInt32
    var failure: NameFailure?

    init(waiting: Int, timeToLive: UInt32) {
        hosts = max(1, waiting)
        self.waiting = waiting
        self.timeToLive = timeToLive
    }
}
