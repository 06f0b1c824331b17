/// An attempt at a call beside the first one (gRFC A6, hedging): it has its own stream, its own copy of the request, and
/// keeps its response back until it is clear whether that is the call's answer.
///
/// Refers to its exchange until it is given up or taken over; lives on until its stream is closed.
final class HedgedAttempt {
    /// What connections point into; its address stays the same.
    struct Record {
        var streamRecord = StreamRecord()
        var request = HeaderList()
        var requestTrailers = HeaderList()
        var response = HeaderList()
        var responseTrailers = HeaderList()
    }

    let record: UnsafeMutablePointer<Record>
    /// `nil` once nobody is interested any more.
    fileprivate(set) var exchange: Exchange?
    fileprivate(set) var endpoint: Endpoint?
    fileprivate(set) var body = ByteQueue()
    private var memory: MemoryPermit
    /// The head is known, and the status is still to come.
    fileprivate(set) var holdsHead = false
    /// The upstream has ended its side.
    fileprivate(set) var hasEnded = false
    fileprivate var upstream: Upstream?
    fileprivate var isWaiting = false
    fileprivate var lookups = 0
    fileprivate let loop: EventLoop

    fileprivate init(_ exchange: Exchange, _ loop: EventLoop, _ memory: consuming MemoryPermit) {
        self.exchange = exchange
        self.loop = loop
        self.memory = memory
        record = .allocate(capacity: 1)
        record.initialize(to: Record())
    }

    deinit {
        body.clear(loop.blocks)
        record.pointee.request.destroy()
        record.pointee.requestTrailers.destroy()
        record.pointee.response.destroy()
        record.pointee.responseTrailers.destroy()
        record.deinitialize(count: 1)
        record.deallocate()
    }

    /// What an attempt takes beside the copy of the request.
    fileprivate static let ownSize = MemoryLayout<Record>.stride + 1024

    var stream: Stream { Handle(withUnsafeMutablePointer(to: &record.pointee.streamRecord) { $0 }) }
    fileprivate var request: HeaderList {
        record.pointee.request
    }
    fileprivate var requestTrailers: HeaderList {
        record.pointee.requestTrailers
    }
    fileprivate var response: HeaderList {
        record.pointee.response
    }
    fileprivate var responseTrailers: HeaderList {
        record.pointee.responseTrailers
    }

    /// Puts what the upstream has answered, and what it was asked, in the exchange's place for them.
    func handOver(to exchange: Exchange) {
        swap(&record.pointee.response, &exchange.response)
        swap(&record.pointee.responseTrailers, &exchange.responseTrailers)
        swap(&body, &exchange.requestBodyPointer.pointee)
        // Nobody sends again what the first attempt has sent; the rest of the copy is the request from now on.
        body.clear(loop.blocks)
        exchange.releaseKept()
        memory.shrink(to: HedgedAttempt.ownSize)
        self.exchange = nil
    }

    /// Ends the attempt without a word.
    func cancel() {
        exchange = nil
        if isWaiting, let owner = stream.owner {
            endpoint?.forget(owner)
            upstream?.forget(owner)
            isWaiting = false
            HedgedStreams.release(self)
        }
        stream.reset(.cancelled)
    }
}

/// The streams of all hedged attempts of a worker. A stream's owner is its attempt, retained until the stream is closed.
final class HedgedStreams: UpstreamStreamDelegate {
    private static let lookupLimit = 3

    /// What an attempt with a copy of the request takes; `nil`: there is no memory for one.
    func permit(_ exchange: Exchange, loop: EventLoop) -> MemoryPermit? {
        var memory = MemoryPermit(loop.memory, .attempts)
        let fields = exchange.request.memorySize + exchange.requestTrailers.memorySize
        guard memory.tryGrow(by: HedgedAttempt.ownSize + fields + exchange.requestBody.total) else { return nil }
        return memory
    }

    /// Begins an attempt with a copy of what the exchange has to send, which must be all of it.
    func begin(
        _ exchange: Exchange, _ upstream: Upstream, loop: EventLoop, excluding: Endpoint?,
        _ memory: consuming MemoryPermit
    ) -> HedgedAttempt {
        let attempt = HedgedAttempt(exchange, loop, memory)
        attempt.request.append(contentsOf: exchange.request)
        attempt.requestTrailers.append(contentsOf: exchange.requestTrailers)
        exchange.requestBodyPointer.pointee.copyAll(to: &attempt.body, loop.blocks)
        attempt.upstream = upstream
        attempt.endpoint = excluding
        attempt.stream.owner = StreamOwner.retaining(attempt)
        attempt.stream.delegate = Unmanaged.passUnretained(self)
        return attempt
    }

    /// Finds an endpoint. What goes wrong is told to the exchange at once.
    func assign(_ attempt: HedgedAttempt) {
        guard let upstream = attempt.upstream, let owner = attempt.stream.owner, let exchange = attempt.exchange
        else { return }
        attempt.lookups += 1
        attempt.isWaiting = true
        let pendingStream = PendingStream(owner: owner, delegate: Unmanaged.passUnretained(self))
        switch upstream.assign(pendingStream, excluding: attempt.endpoint, wish: exchange.endpointWish(upstream)) {
        case .connection(let connection): send(attempt, on: connection)
        case .waiting(let endpoint): attempt.endpoint = endpoint
        case .resolving: break
        case .unavailable(let reason): failed(attempt, .unavailable(reason), .connectFailure)
        case .overflow(let reason): failed(attempt, .overflow(reason), [])
        }
    }

    private func send(_ attempt: HedgedAttempt, on connection: UpstreamConnection) {
        attempt.endpoint = connection.endpoint
        attempt.isWaiting = false
        attempt.exchange?.nameEndpoint(connection.endpoint, in: attempt.request)
        let hasBody = !attempt.body.isEmpty || !attempt.requestTrailers.isEmpty
        switch connection.open(attempt.stream, attempt.request, hasBody: hasBody) {
        case .opened: break
        case .noRoom: assign(attempt)
        case .awaitsSettings: awaitSettings(attempt, of: connection)
        case .headTooLarge(let size):
            failed(attempt, .upstreamHeadLimit(size, upstream: attempt.upstream?.name ?? ""), [])
        }
    }

    private func awaitSettings(_ attempt: HedgedAttempt, of connection: UpstreamConnection) {
        guard let owner = attempt.stream.owner else { return }
        attempt.isWaiting = true
        let pendingStream = PendingStream(owner: owner, delegate: Unmanaged.passUnretained(self))
        if let overflow = connection.awaitSettings(pendingStream) { failed(attempt, .overflow(overflow), []) }
    }

    /// The attempt has come to nothing; its stream is closed or was never opened.
    private func failed(_ attempt: HedgedAttempt, _ fault: Fault, _ ending: RetryPlan.Endings) {
        let exchange = attempt.exchange
        attempt.exchange = nil
        attempt.isWaiting = false
        exchange?.hedgeFailed(attempt, fault, ending.union(.status(fault.status)))
        HedgedStreams.release(attempt)
    }

    /// The attempt's stream is the exchange's from now on, which keeps the attempt.
    func hand(_ attempt: HedgedAttempt, to exchange: Exchange, of host: ExchangeHost) {
        HedgedStreams.release(attempt)
        host.take(attempt, for: exchange)
    }

    private static func attempt(_ owner: StreamOwner) -> HedgedAttempt {
        owner.object(HedgedAttempt.self)
    }

    fileprivate static func release(_ attempt: HedgedAttempt) {
        guard let owner = attempt.stream.owner else { return }
        attempt.stream.owner = nil
        owner.release()
    }

    // MARK: Waiting for a connection

    override func connectionReady(_ owner: StreamOwner, _ connection: UpstreamConnection) {
        send(HedgedStreams.attempt(owner), on: connection)
    }

    override func waits(_ owner: StreamOwner, _ endpoint: Endpoint) {
        HedgedStreams.attempt(owner).endpoint = endpoint
    }

    override func connectionFailed(_ owner: StreamOwner, _ reason: String) {
        let attempt = HedgedStreams.attempt(owner)
        guard attempt.lookups < HedgedStreams.lookupLimit else {
            return failed(attempt, .unavailable(reason), .connectFailure)
        }
        assign(attempt)
    }

    // MARK: The stream

    override func sectionBegan(
        _ stream: StreamOwner, _ section: Section
    ) -> HeaderList? {
        let attempt = HedgedStreams.attempt(stream)
        guard attempt.exchange != nil else { return nil }
        return attempt.holdsHead ? attempt.responseTrailers : attempt.response
    }

    override func sectionEnded(
        _ stream: StreamOwner, _ section: Section, endsStream: Bool, tooLarge: Bool
    ) {
        let attempt = HedgedStreams.attempt(stream)
        guard let exchange = attempt.exchange else { return }
        if tooLarge { return drop(attempt, exchange, .upstreamHeadersTooLarge) }
        attempt.hasEnded = endsStream
        if endsStream { attempt.noteAnswer() }
        if attempt.holdsHead {
            return exchange.hedgeAnswered(attempt, attempt.responseTrailers.value(.grpcStatus))
        }
        let status = attempt.response.value(.status).map(HTTPStatus.parse) ?? 0
        if status < 200 { return attempt.response.reset() }
        let grpcStatus = attempt.response.value(.grpcStatus)
        let isGRPC = attempt.response.value(.contentType).map(GRPCContentType.isGRPC) ?? false
        attempt.holdsHead = true
        if endsStream || grpcStatus != nil || !isGRPC { exchange.hedgeAnswered(attempt, grpcStatus) }
    }

    /// A message has begun: this is the answer.
    override func dataReceived(_ stream: StreamOwner, _ bytes: Bytes) {
        guard let exchange = HedgedStreams.attempt(stream).exchange else { return }
        exchange.takeOver(HedgedStreams.attempt(stream))
        exchange.responseDataReceived(bytes)
    }

    override func mayWiden(_ stream: StreamOwner, by octets: Int32) -> Bool {
        HedgedStreams.attempt(stream).exchange?.downstream.widen(Int(octets)) ?? false
    }

    override func dataEnded(_ stream: StreamOwner) {
        let attempt = HedgedStreams.attempt(stream)
        attempt.hasEnded = true
        attempt.noteAnswer()
        attempt.exchange?.hedgeAnswered(attempt, nil)
    }

    override func readBody(
        _ stream: StreamOwner, into target: UnsafeMutablePointer<UInt8>, limit: Int
    ) -> BodyRead {
        let attempt = HedgedStreams.attempt(stream)
        let count = attempt.body.read(into: target, limit: limit, attempt.loop.blocks)
        guard attempt.body.isEmpty else { return .bytes(count) }
        guard !attempt.requestTrailers.isEmpty else { return .last(count) }
        switch attempt.stream.submitTrailers(attempt.requestTrailers) {
        case .sent, .noStream: return .lastBeforeTrailers(count)
        case .awaitsSettings: return count > 0 ? .bytes(count) : .later
        case .tooLarge(let size):
            let fault = Fault.upstreamHeadLimit(size, upstream: attempt.upstream?.name ?? "", isTrailers: true)
            if let exchange = attempt.exchange { drop(attempt, exchange, fault) }
            return .failed
        }
    }

    override func streamClosed(_ stream: StreamOwner, _ end: StreamEnd, _ reason: CloseReason?) {
        let attempt = HedgedStreams.attempt(stream)
        guard attempt.exchange != nil else { return HedgedStreams.release(attempt) }
        attempt.noteClosed(end)
        let fault = Fault.upstreamReset(end, reason, upstream: attempt.upstream?.name ?? "")
        failed(attempt, fault, end.isRefused ? .refusedStream : .reset)
    }

    private func drop(_ attempt: HedgedAttempt, _ exchange: Exchange, _ fault: Fault) {
        attempt.exchange = nil
        attempt.stream.reset(.cancelled)
        exchange.hedgeFailed(attempt, fault, .status(fault.status))
    }
}
