/// A request of our own to an upstream: whole when it is sent, and answered whole, in time and within a size, or failed.
///
/// Made, filled and started by whoever wants the answer, on the worker's thread; ends exactly once. `UpstreamCalls` keeps
/// it alive while an upstream may still refer to it.
final class UpstreamCall {
    /// Why there is no answer.
    enum Failure: Error, Equatable {
        case timeout
        /// No connection, with the reason for people.
        case unavailable(String)
        /// The upstream's stream or connection ended too early, with what is known of it.
        case reset(String)
        /// The answer has more bytes than `limit`, or fields than a connection takes.
        case tooLarge
        /// The request's head is larger than the endpoint takes.
        case headTooLarge(HeadSize)

        /// `unavailable: upstream main: cannot connect: …`
        var text: String {
            switch self {
            case .timeout: "timeout"
            case .unavailable(let reason): "unavailable: \(reason)"
            case .reset(let reason): "reset: \(reason)"
            case .tooLarge: "the response is too large"
            case .headTooLarge(let size):
                "the headers take \(size.octets) octets, and the upstream takes \(size.limit)"
            }
        }
    }

    /// How far the call has come.
    enum Phase {
        case new, connecting, sent, ended
    }

    /// What connections and the loop point into; its address stays the same.
    struct Record {
        var streamRecord = StreamRecord()
        var request = HeaderList()
        var response = HeaderList()
        var trailers = HeaderList()
        var timer = Timer()
    }

    let record: UnsafeMutablePointer<Record>

    // MARK: The request

    var body: [UInt8] = []
    /// Nanoseconds from the start to the end of the answer; 0: any time.
    var timeout: UInt64 = 0
    /// Bytes that the answer's body may have.
    var limit = 1 << 20

    /// Nobody waits for the call, and its answer is dropped.
    fileprivate(set) var isAlone = false
    /// What one that is alone holds.
    fileprivate var memory: MemoryPermit?

    // MARK: The answer

    /// The body, once the call has been answered.
    var answer: [UInt8] = []
    /// Bytes of the body that have come.
    fileprivate var received = 0

    // MARK: On its way

    fileprivate(set) var phase = Phase.new
    /// `nil`: the call goes to one endpoint.
    fileprivate var upstream: Upstream?
    fileprivate var endpoint: Endpoint?
    fileprivate var attempts = 0
    fileprivate var sentBytes = 0
    fileprivate var isRequestSent = false
    fileprivate var isHeadKnown = false
    fileprivate var wasSentAgain = false
    /// Told by the timer, so that nobody hears of a failure before `start` has returned.
    fileprivate var earlyFailure: Failure?
    fileprivate var completion: ((Failure?) -> Void)?
    fileprivate weak var calls: UpstreamCalls?

    init() {
        record = .allocate(capacity: 1)
        record.initialize(to: Record())
    }

    deinit {
        record.pointee.request.destroy()
        record.pointee.response.destroy()
        record.pointee.trailers.destroy()
        record.deinitialize(count: 1)
        record.deallocate()
    }

    /// The request's head, to be filled in before the start.
    var request: HeaderList { record.pointee.request }
    /// The answer's final head.
    var response: HeaderList { record.pointee.response }
    var trailers: HeaderList { record.pointee.trailers }
    fileprivate var stream: Stream { Handle(withUnsafeMutablePointer(to: &record.pointee.streamRecord) { $0 }) }
    fileprivate var timer: UnsafeMutablePointer<Timer> { withUnsafeMutablePointer(to: &record.pointee.timer) { $0 } }

    /// Ends the call without a word to whoever waits for it. Does nothing once it has ended.
    func cancel() {
        completion = nil
        calls?.end(self, .reset("cancelled"))
    }
}

/// The calls of one worker.
final class UpstreamCalls: UpstreamStreamDelegate {
    /// How often one call looks for an endpoint.
    private static let attemptLimit = 3

    private let loop: EventLoop
    /// Calls that have not ended.
    private(set) var active = 0
    /// Those of them that nobody waits for.
    private var alone: [ObjectIdentifier: UpstreamCall] = [:]
    /// Called when one of those has ended.
    var aloneEnded: (() -> Void)?
    /// There are calls that nobody waits for.
    var hasAlone: Bool { !alone.isEmpty }

    init(loop: EventLoop) { self.loop = loop }

    /// Sends the call to an endpoint of `upstream`.
    ///
    /// - Parameter completion: called once, after this function has returned: with `nil` when the call has its answer. Not
    ///   called for a call that is cancelled.
    func start(_ call: UpstreamCall, to upstream: Upstream, _ completion: @escaping (UpstreamCall.Failure?) -> Void) {
        guard call.phase == .new else { return }
        call.upstream = upstream
        start(call, completion)
    }

    /// As `start`, for a call that nobody waits for: it may outlive its request, and its answer is dropped.
    /// - Returns: false when there is no memory for it.
    func startAlone(
        _ call: UpstreamCall, to upstream: Upstream, _ completion: @escaping (UpstreamCall.Failure?) -> Void
    ) -> Bool {
        var memory = MemoryPermit(loop.memory, .calls)
        guard call.phase == .new, memory.tryGrow(by: call.size) else { return false }
        call.memory = consume memory
        call.isAlone = true
        alone[ObjectIdentifier(call)] = call
        start(call, to: upstream, completion)
        return true
    }

    /// Memory is short: ends the calls that nobody waits for.
    func dropAlone() {
        for call in alone.values { end(call, .unavailable("the proxy is short of memory")) }
    }

    /// Sends the call to `endpoint` and to no other; otherwise as `start` with an upstream.
    func start(_ call: UpstreamCall, at endpoint: Endpoint, _ completion: @escaping (UpstreamCall.Failure?) -> Void) {
        guard call.phase == .new else { return }
        call.endpoint = endpoint
        start(call, completion)
    }

    private func start(_ call: UpstreamCall, _ completion: @escaping (UpstreamCall.Failure?) -> Void) {
        let owner = StreamOwner.retaining(call)
        call.request.joinCookies()
        active += 1
        call.calls = self
        call.completion = completion
        call.stream.owner = owner
        call.stream.delegate = Unmanaged.passUnretained(self)
        call.timer.pointee.target = owner.pointer
        call.timer.pointee.action = { UpstreamCalls.call(StreamOwner($0)).timeIsUp() }
        if call.timeout > 0 { loop.set(call.timer, at: loop.now &+ min(call.timeout, UInt64.max / 4)) }
        assign(call)
    }

    /// Ends the call; it goes when its stream is closed, too.
    fileprivate func end(_ call: UpstreamCall, _ failure: UpstreamCall.Failure?) {
        guard call.phase != .ended, call.phase != .new else { return }
        if call.phase == .sent, let endpoint = call.endpoint, endpoint.watch != nil, let outcome = call.outcome(failure)
        {
            endpoint.observed(outcome)
        }
        if call.phase == .connecting { stopWaiting(call) }
        call.phase = .ended
        active -= 1
        if call.isAlone { alone[ObjectIdentifier(call)] = nil }
        loop.clear(call.timer)
        // A stream that both sides have ended closes by itself.
        if failure != nil || !call.isRequestSent { call.stream.reset(.cancelled) }
        let completion = call.completion
        call.completion = nil
        completion?(failure)
        if call.isAlone { aloneEnded?() }
        releaseIfDone(call)
    }

    /// Gives back what `start` retained: nobody refers to the call any more.
    private func releaseIfDone(_ call: UpstreamCall) {
        guard call.phase == .ended, !call.stream.isOpen, let owner = call.stream.owner else { return }
        call.stream.owner = nil
        call.upstream = nil
        call.endpoint = nil
        owner.release()
    }

    private static func call(_ owner: StreamOwner) -> UpstreamCall {
        owner.object(UpstreamCall.self)
    }

    // MARK: Finding a connection

    private func assign(_ call: UpstreamCall) {
        guard let owner = call.stream.owner else { return }
        call.phase = .connecting
        call.attempts += 1
        let pendingStream = PendingStream(owner: owner, delegate: Unmanaged.passUnretained(self))
        guard let assignment = assignment(call, pendingStream) else { return }
        switch assignment {
        case .connection(let connection): send(call, on: connection)
        case .waiting(let endpoint): call.endpoint = endpoint
        case .resolving: break
        case .unavailable(let reason), .overflow(let reason): failLater(call, .unavailable(reason))
        }
    }

    /// When `start` has returned.
    private func failLater(_ call: UpstreamCall, _ failure: UpstreamCall.Failure) {
        call.earlyFailure = failure
        loop.set(call.timer, at: loop.now)
    }

    private func assignment(_ call: UpstreamCall, _ pendingStream: PendingStream) -> Upstream.Assignment? {
        guard let upstream = call.upstream else { return call.endpoint?.assign(pendingStream) }
        return upstream.assign(pendingStream, excluding: call.endpoint, wish: upstream.wish(forCall: call.request))
    }

    private func send(_ call: UpstreamCall, on connection: UpstreamConnection) {
        call.endpoint = connection.endpoint
        call.sentBytes = 0
        call.isRequestSent = call.body.isEmpty
        switch connection.open(call.stream, call.request, hasBody: !call.body.isEmpty) {
        case .opened: call.phase = .sent
        case .noRoom: assign(call)
        case .awaitsSettings: awaitSettings(call, of: connection)
        case .headTooLarge(let size): failLater(call, .headTooLarge(size))
        }
    }

    private func awaitSettings(_ call: UpstreamCall, of connection: UpstreamConnection) {
        guard let owner = call.stream.owner else { return }
        let pendingStream = PendingStream(owner: owner, delegate: Unmanaged.passUnretained(self))
        if let overflow = connection.awaitSettings(pendingStream) { failLater(call, .unavailable(overflow)) }
    }

    private func stopWaiting(_ call: UpstreamCall) {
        guard let owner = call.stream.owner else { return }
        call.endpoint?.forget(owner)
        call.upstream?.forget(owner)
    }

    override func connectionReady(_ owner: StreamOwner, _ connection: UpstreamConnection) {
        send(UpstreamCalls.call(owner), on: connection)
    }

    override func waits(_ owner: StreamOwner, _ endpoint: Endpoint) {
        UpstreamCalls.call(owner).endpoint = endpoint
    }

    /// Nothing was sent, so another endpoint may be tried.
    override func connectionFailed(_ owner: StreamOwner, _ reason: String) {
        let call = UpstreamCalls.call(owner)
        guard call.attempts < UpstreamCalls.attemptLimit, call.upstream != nil else {
            return end(call, .unavailable(reason))
        }
        assign(call)
    }

    // MARK: The answer

    override func sectionBegan(
        _ stream: StreamOwner, _ section: Section
    ) -> HeaderList? {
        let call = UpstreamCalls.call(stream)
        guard call.phase == .sent else { return nil }
        return call.isHeadKnown ? call.trailers : call.response
    }

    override func sectionEnded(
        _ stream: StreamOwner, _ section: Section, endsStream: Bool, tooLarge: Bool
    ) {
        let call = UpstreamCalls.call(stream)
        guard call.phase == .sent else { return }
        if tooLarge { return end(call, .tooLarge) }
        if !call.isHeadKnown {
            let status = call.response.value(.status).map(HTTPStatus.parse) ?? 0
            // An interim head says nothing about the answer.
            if status < 200 { return call.response.reset() }
            call.isHeadKnown = true
        }
        if endsStream { end(call, nil) }
    }

    override func dataReceived(_ stream: StreamOwner, _ bytes: Bytes) {
        let call = UpstreamCalls.call(stream)
        guard call.phase == .sent else { return }
        // An answer without end would hold the call's part of the account for ever, also where nobody reads it.
        guard call.isHeadKnown, bytes.count <= call.limit - call.received else { return end(call, .tooLarge) }
        call.received += bytes.count
        if !call.isAlone { call.answer.append(contentsOf: bytes.buffer) }
        call.stream.consume(bytes.count)
    }

    override func dataEnded(_ stream: StreamOwner) {
        let call = UpstreamCalls.call(stream)
        end(call, call.isHeadKnown ? nil : .reset("a body without a head"))
    }

    override func readBody(
        _ stream: StreamOwner, into target: UnsafeMutablePointer<UInt8>, limit: Int
    ) -> BodyRead {
        let call = UpstreamCalls.call(stream)
        let count = min(limit, call.body.count - call.sentBytes)
        call.body.withUnsafeBufferPointer { body in
            if let base = body.baseAddress, count > 0 { target.update(from: base + call.sentBytes, count: count) }
        }
        call.sentBytes += count
        guard call.sentBytes == call.body.count else { return .bytes(count) }
        call.isRequestSent = true
        return .last(count)
    }

    override func streamClosed(_ stream: StreamOwner, _ end: StreamEnd, _ reason: CloseReason?) {
        let call = UpstreamCalls.call(stream)
        guard call.phase == .sent else { return releaseIfDone(call) }
        // Streams that the upstream did not process are sent again, once (RFC 9113 §8.7).
        if end.isRefused && reason == nil && !call.isHeadKnown && !call.wasSentAgain {
            call.wasSentAgain = true
            call.response.reset()
            return assign(call)
        }
        self.end(call, .reset(reason?.text ?? end.text))
    }
}

extension UpstreamCall {
    /// Octets of the request: its fields as RFC 9113 §6.5.2 counts them, and its body.
    var carried: Int { request.encodedSize + body.count }

    /// About what the call takes of memory, without its answer.
    fileprivate var size: Int { MemoryLayout<Record>.stride + 1024 + request.memorySize + body.count }

    /// What the end of the call says about the endpoint; `nil`: nothing.
    fileprivate func outcome(_ failure: Failure?) -> AttemptOutcome? {
        switch failure {
        case .reset where completion != nil: return .noResponse
        case .some: return nil
        case nil: return AttemptOutcome(head: response, trailers: trailers)
        }
    }

    fileprivate func timeIsUp() { calls?.end(self, earlyFailure ?? .timeout) }
}
