import Glibc

/// What the exchanges of one worker share: memory, the current generation, and where finished ones are reported.
final class ExchangeHost {
    let loop: EventLoop
    private(set) var generation: WorkerGeneration
    /// For listeners that are gone, the last generation that had them.
    private var last: [ListenerIdentity: WorkerGeneration] = [:]
    private let pool: Pool<ExchangeRecord>
    private let upstreamStreams = UpstreamStreams()
    let hedgedStreams = HedgedStreams()
    let lostStreams = LostStreams()
    let mirrorStreams: MirrorStreams
    private let accessLog: AccessLogger
    let overload: OverloadState
    /// The last request's number; they go up from a random start, so that two runs do not share them.
    private var numbers = UInt64.random(in: 0...UInt64.max)
    private var numbersForChoice = FastRandom()

    /// - Parameter worker: the number of this worker, which chooses its counters.
    init(
        loop: EventLoop, generation: WorkerGeneration, accessLog: AccessLogger, overload: OverloadState, worker: Int
    ) {
        self.overload = overload
        mirrorStreams = MirrorStreams(loop: loop, worker: worker)
        self.loop = loop
        self.generation = generation
        self.accessLog = accessLog
        pool = Pool(make: ExchangeRecord.init) { $0.pointee.destroy() }
    }

    /// Exchanges that are not finished.
    var active: Int { pool.inUse }

    /// Streams from now on belong to `new`; those that run keep theirs.
    func use(_ new: WorkerGeneration) {
        let previous = generation
        generation = new
        for listener in previous.shared.listenerIdentities where new.shared.listenerIndex(listener) < 0 {
            last[listener] = previous
        }
        last = last.filter { new.shared.listenerIndex($0.key) < 0 }
    }

    /// Whether requests on the listener's connections can be served: it is configured, or was when they began.
    func knows(_ listener: ListenerIdentity) -> Bool {
        generation.shared.listenerIndex(listener) >= 0 || last[listener] != nil
    }

    /// Lets the generations of listeners go that are gone, and of which there are no connections any more.
    func forgetListeners(without isInUse: (ListenerIdentity) -> Bool) {
        guard !last.isEmpty else { return }
        last = last.filter { isInUse($0.key) }
    }

    /// The generation for a new stream on a connection of `listener`: the newest one that has the listener, since a
    /// client may open streams until it learns that its connection drains.
    private func generation(for listener: ListenerIdentity) -> WorkerGeneration {
        generation.shared.listenerIndex(listener) >= 0 ? generation : last[listener] ?? generation
    }

    /// For choosing among a route's upstreams.
    func random() -> UInt64 { numbersForChoice.next() }

    // MARK: Life of an exchange

    func begin(_ connection: DownstreamConnection) -> Exchange {
        let exchange = pool.take()
        exchange.downstream.owner = exchange.owner
        exchange.firstUpstream.owner = exchange.owner
        exchange.firstUpstream.delegate = Unmanaged.passUnretained(upstreamStreams)
        exchange.hostReference = Unmanaged.passUnretained(self)
        exchange.factsReference = Unmanaged.passRetained(connection.facts)
        let generation = generation(for: connection.facts.listener)
        exchange.generationReference = Unmanaged.passRetained(generation)
        generation.metrics.exchanges.add()
        numbers &+= 1
        exchange.number = numbers
        exchange.started = loop.now
        exchange.startedAt = Clock.unixMilliseconds()
        return exchange
    }

    /// Gives the record back; both streams are closed and nobody waits for it.
    func recycle(_ exchange: Exchange) {
        exchange.clearTimers()
        exchange.requestBody.clear(loop.blocks)
        exchange.releaseKept()
        exchange.responseBody.clear(loop.blocks)
        exchange.request.reset()
        exchange.requestTrailers.reset()
        exchange.response.reset()
        exchange.responseTrailers.reset()
        exchange.factsReference?.release()
        exchange.endpointReference?.release()
        exchange.endRun()
        if exchange.hedges != nil { exchange.endHedges() }
        if exchange.mirrors != nil { exchange.endMirrors() }
        if exchange.attempt.charged > 0 { exchange.releaseRetries() }
        exchange.generationReference?._withUnsafeGuaranteedRef { $0.metrics.exchanges.subtract() }
        exchange.generationReference?.release()
        exchange.pointer.pointee.state = ExchangeState()
        assert(exchange.pointer.pointee.isAtRest, "an exchange leaves something for the next one")
        pool.give(back: exchange)
    }

    /// An exchange as upstreams know it.
    @inline(__always) func pendingStream(_ exchange: Exchange) -> PendingStream {
        PendingStream(owner: exchange.owner, delegate: Unmanaged.passUnretained(upstreamStreams))
    }

    /// Makes the stream of a hedged attempt one of the exchange's own.
    func take(_ attempt: HedgedAttempt, for exchange: Exchange) {
        attempt.stream.owner = exchange.owner
        attempt.stream.delegate = Unmanaged.passUnretained(upstreamStreams)
    }

    var logsAccess: Bool { accessLog.isEnabled }

    func log(_ record: borrowing AccessRecord) { accessLog.log(record) }
}
