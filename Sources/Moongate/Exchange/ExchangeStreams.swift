/// The clients' side of all exchanges of a worker: each event of a stream becomes one call of its exchange.
final class DownstreamStreams: ClientStreamDelegate {
    private let host: ExchangeHost
    init(_ host: ExchangeHost) { self.host = host }

    override func streamOpened(_ connection: DownstreamConnection) -> Stream? {
        let stream = host.begin(connection).downstream
        stream.delegate = .passUnretained(self)
        return stream
    }

    override func sectionBegan(
        _ stream: StreamOwner, _ section: Section
    ) -> HeaderList? {
        let exchange = Exchange(owner: stream)
        return section == .request ? exchange.request : exchange.requestTrailers
    }

    override func sectionEnded(
        _ stream: StreamOwner, _ section: Section, endsStream: Bool, tooLarge: Bool
    ) {
        let exchange = Exchange(owner: stream)
        if section == .request {
            exchange.requestHeadReceived(endsStream: endsStream, tooLarge: tooLarge)
        } else if tooLarge {
            exchange.fail(.headersTooLarge)
        } else if let fault = exchange.admitTrailers() {
            exchange.fail(fault)
        } else {
            exchange.requestEndReceived()
        }
    }

    override func dataReceived(_ stream: StreamOwner, _ bytes: Bytes) {
        Exchange(owner: stream).requestDataReceived(bytes)
    }

    override func dataEnded(_ stream: StreamOwner) { Exchange(owner: stream).requestEndReceived() }

    override func readBody(
        _ stream: StreamOwner, into target: UnsafeMutablePointer<UInt8>, limit: Int
    ) -> BodyRead {
        Exchange(owner: stream).readResponse(into: target, limit: limit)
    }

    override func heldResponse(_ stream: StreamOwner) -> HeldBody {
        Exchange(owner: stream).heldResponse
    }

    override func roomIsBack(_ stream: StreamOwner) { Exchange(owner: stream).bodiesMoved() }

    override func responseIsStalled(_ stream: StreamOwner) {
        Exchange(owner: stream).giveUpStalledResponse()
    }

    override func heldRequest(_ stream: StreamOwner) -> HeldBody {
        Exchange(owner: stream).heldRequest
    }

    override func forgoAttempts(_ stream: StreamOwner) { Exchange(owner: stream).forgoAttempts() }

    override func requestIsTooMuch(_ stream: StreamOwner) {
        Exchange(owner: stream).fail(.requestBuffer)
    }

    override func requestIsLate(_ stream: StreamOwner, after time: UInt64) -> Bool {
        if Exchange(owner: stream).endedByResponse() { return true }
        guard !Exchange(owner: stream).mayBeQuiet else { return false }
        Exchange(owner: stream).fail(.requestTimeout(time))
        return true
    }

    override func endSent(_ stream: StreamOwner) { Exchange(owner: stream).responseWasSent() }

    override func streamClosed(_ stream: StreamOwner, _ end: StreamEnd, _ reason: CloseReason?) {
        Exchange(owner: stream).downstreamClosed(end, reason)
    }
}

/// The upstreams' side of all exchanges of a worker.
final class UpstreamStreams: UpstreamStreamDelegate {
    override func sectionBegan(
        _ stream: StreamOwner, _ section: Section
    ) -> HeaderList? {
        Exchange(owner: stream).responseSectionTarget()
    }

    override func sectionEnded(
        _ stream: StreamOwner, _ section: Section, endsStream: Bool, tooLarge: Bool
    ) {
        let exchange = Exchange(owner: stream)
        if endsStream { exchange.noteAnswer() }
        exchange.responseSectionReceived(endsStream: endsStream, tooLarge: tooLarge)
    }

    override func dataReceived(_ stream: StreamOwner, _ bytes: Bytes) {
        Exchange(owner: stream).responseDataReceived(bytes)
    }

    override func dataEnded(_ stream: StreamOwner) {
        let exchange = Exchange(owner: stream)
        exchange.noteAnswer()
        exchange.responseEndReceived()
    }

    override func readBody(
        _ stream: StreamOwner, into target: UnsafeMutablePointer<UInt8>, limit: Int
    ) -> BodyRead {
        Exchange(owner: stream).readRequest(into: target, limit: limit)
    }

    override func streamClosed(_ stream: StreamOwner, _ end: StreamEnd, _ reason: CloseReason?) {
        let exchange = Exchange(owner: stream)
        exchange.noteUpstreamClosed(end)
        exchange.upstreamClosed(end, reason)
    }

    override func mayWiden(_ stream: StreamOwner, by octets: Int32) -> Bool {
        Exchange(owner: stream).downstream.widen(Int(octets))
    }

    // MARK: Waiting for a connection

    override func connectionReady(_ owner: StreamOwner, _ connection: UpstreamConnection) {
        Exchange(owner: owner).send(on: connection)
    }

    override func waits(_ owner: StreamOwner, _ endpoint: Endpoint) {
        Exchange(owner: owner).tries(endpoint)
    }

    override func connectionFailed(_ owner: StreamOwner, _ reason: String) {
        Exchange(owner: owner).connectFailed(reason)
    }
}

extension Pooled where Record == ExchangeRecord {
    /// The exchange that a stream's owner pointer names.
    @inline(__always) init(owner: StreamOwner) {
        self.init(owner.pointer.assumingMemoryBound(to: ExchangeRecord.self))
    }

    /// The exchange whose `opaque` form a timer or a policy has kept.
    @inline(__always) init(address: UnsafeMutableRawPointer) {
        self.init(address.assumingMemoryBound(to: ExchangeRecord.self))
    }

    /// What the exchange is to its streams.
    @inline(__always) var owner: StreamOwner { StreamOwner(opaque) }

    var host: ExchangeHost? { self.hostReference?.takeUnretainedValue() }
    var facts: ConnectionFacts? { self.factsReference?.takeUnretainedValue() }
    var generation: WorkerGeneration? { self.generationReference?.takeUnretainedValue() }
    /// Where the request was sent last.
    var endpoint: Endpoint? { self.endpointReference?.takeUnretainedValue() }

    /// Lends the worker's memory for bodies; `nil`: there is no worker.
    @inline(__always) func withBlocks<Result>(_ body: (BlockPool) -> Result) -> Result? {
        self.hostReference?._withUnsafeGuaranteedRef { body($0.loop.blocks) }
    }

    /// Lends what the record keeps until it is recycled, without counting references as `generation` and `facts` do.
    /// What may end the exchange comes last in `body`.
    @inline(__always) func lend(_ body: (WorkerGeneration, ConnectionFacts) -> Void) {
        guard let generation = self.generationReference, let facts = self.factsReference else { return }
        generation._withUnsafeGuaranteedRef { generation in
            facts._withUnsafeGuaranteedRef { facts in body(generation, facts) }
        }
    }

    // The record's memory does not move, so addresses of its fields stay good.
    @inline(__always) var downstream: Stream {
        Handle(withUnsafeMutablePointer(to: &pointer.pointee.downstreamRecord) { $0 })
    }
    /// The stream of the attempt that counts.
    @inline(__always) var upstream: Stream { self.takenStream ?? firstUpstream }
    /// The stream of the exchange's own attempts.
    @inline(__always) var firstUpstream: Stream {
        Handle(withUnsafeMutablePointer(to: &pointer.pointee.upstreamRecord) { $0 })
    }
    @inline(__always) var requestBodyPointer: UnsafeMutablePointer<ByteQueue> {
        withUnsafeMutablePointer(to: &pointer.pointee.requestBody) { $0 }
    }
    @inline(__always) var responseBodyPointer: UnsafeMutablePointer<ByteQueue> {
        withUnsafeMutablePointer(to: &pointer.pointee.responseBody) { $0 }
    }
    @inline(__always) var requestEndedPointer: UnsafeMutablePointer<Bool> {
        withUnsafeMutablePointer(to: &pointer.pointee.state.requestEnded) { $0 }
    }
    @inline(__always) var responseEndedPointer: UnsafeMutablePointer<Bool> {
        withUnsafeMutablePointer(to: &pointer.pointee.state.responseEnded) { $0 }
    }
    @inline(__always) var responseHeadSentPointer: UnsafeMutablePointer<Bool> {
        withUnsafeMutablePointer(to: &pointer.pointee.state.responseHeadSent) { $0 }
    }
    @inline(__always) var responseMessagesPointer: UnsafeMutablePointer<GRPCMessageTracker> {
        withUnsafeMutablePointer(to: &pointer.pointee.state.responseMessages) { $0 }
    }
    @inline(__always) var timerPointer: UnsafeMutablePointer<Timer> {
        withUnsafeMutablePointer(to: &pointer.pointee.timer) { $0 }
    }
    @inline(__always) var attemptTimerPointer: UnsafeMutablePointer<Timer> {
        withUnsafeMutablePointer(to: &pointer.pointee.attemptTimer) { $0 }
    }
    @inline(__always) var idleTimerPointer: UnsafeMutablePointer<Timer> {
        withUnsafeMutablePointer(to: &pointer.pointee.idleTimer) { $0 }
    }
}
