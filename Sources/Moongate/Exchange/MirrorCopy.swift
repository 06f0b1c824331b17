/// A copy of one request on its way to a mirror (F7): it takes what the request's own upstream gets, and drops what comes back.
///
/// Given up as soon as it would have to be waited for. Kept by its stream, or by the wait for a connection; the exchange keeps
/// it while it has something to hand over.
final class MirrorCopy {
    /// What connections and the loop point into; its address stays the same.
    struct Record {
        var streamRecord = StreamRecord()
        var request = HeaderList()
        var requestTrailers = HeaderList()
        var response = HeaderList()
        var responseTrailers = HeaderList()
        var timer = Timer()
    }

    fileprivate let record: UnsafeMutablePointer<Record>
    fileprivate let upstream: Upstream
    fileprivate let loop: EventLoop
    fileprivate let buffer: Int
    fileprivate let cells: MirrorCells
    /// Keeps the memory of `cells`.
    private let metrics: MetricsRegistry.Entry
    fileprivate var endpoint: Endpoint?
    /// What the copy holds, itself included.
    fileprivate var memory: MemoryPermit
    fileprivate var body = ByteQueue()
    fileprivate var hasBody: Bool
    /// The whole request has been handed over.
    fileprivate(set) var isComplete: Bool
    fileprivate var isWaiting = false
    fileprivate var isHeadKnown = false
    fileprivate let live: LiveCopies
    /// Among `live`; `nil`: not yet, or not any more.
    fileprivate var place: Int?
    /// Of `memory`, until the head has gone out.
    private var headSize = 0
    /// Answered or given up.
    fileprivate(set) var isOver = false
    fileprivate var lookups = 0

    /// - Parameter isComplete: the head is the whole request.
    fileprivate init(
        _ mirror: RouteMirrors.Mirror, _ upstream: Upstream, live: LiveCopies, loop: EventLoop, worker: Int,
        isComplete: Bool
    ) {
        self.live = live
        self.upstream = upstream
        self.loop = loop
        self.isComplete = isComplete
        hasBody = !isComplete
        buffer = mirror.buffer
        memory = MemoryPermit(loop.memory, .mirrors)
        metrics = mirror.metrics
        cells = MirrorCells(row: mirror.metrics.block.row(worker))
        record = .allocate(capacity: 1)
        record.initialize(to: Record())
    }

    deinit {
        loop.clear(timer)
        body.clear(loop.blocks)
        record.pointee.request.destroy()
        record.pointee.requestTrailers.destroy()
        record.pointee.response.destroy()
        record.pointee.responseTrailers.destroy()
        record.deinitialize(count: 1)
        record.deallocate()
    }

    fileprivate var stream: Stream { Handle(withUnsafeMutablePointer(to: &record.pointee.streamRecord) { $0 }) }
    fileprivate var request: HeaderList {
        record.pointee.request
    }
    fileprivate var timer: UnsafeMutablePointer<Timer> { withUnsafeMutablePointer(to: &record.pointee.timer) { $0 } }

    /// Bytes that the request's own upstream gets.
    func append(_ bytes: Bytes) {
        guard !isOver else { return }
        guard body.count + bytes.count <= buffer else { return drop(.buffer) }
        guard memory.tryGrow(by: bytes.count) else { return drop(.memory) }
        body.append(bytes, loop.blocks)
        stream.resume()
    }

    /// The request is complete.
    func finish(_ trailers: HeaderList) {
        guard !isOver, !isComplete else { return }
        guard memory.tryGrow(by: trailers.memorySize) else { return drop(.memory) }
        isComplete = true
        record.pointee.requestTrailers.append(contentsOf: trailers)
        stream.resume()
    }

    /// There is nothing more to hand over. A copy that is complete may be answered for a while.
    func requestEnded(within time: UInt64) {
        guard !isOver else { return }
        guard isComplete else { return drop(.incomplete) }
        loop.set(timer, at: loop.now &+ time)
    }

    func drop(_ reason: MirrorCells.Drop) {
        guard !isOver else { return }
        cells.drops(reason).add()
        end()
    }

    /// Answered or given up: the stream goes at the end of the turn if it is still open.
    fileprivate func end() {
        guard !isOver else { return }
        markOver()
        body.clear(loop.blocks)
        memory.shrink(to: MirrorCopy.ownSize)
        guard isWaiting, let owner = stream.owner else { return stream.reset(.cancelled) }
        isWaiting = false
        endpoint?.forget(owner)
        upstream.forget(owner)
        release()
    }

    fileprivate func release() {
        guard let owner = stream.owner else { return }
        stream.owner = nil
        owner.release()
    }
}

/// The streams of all copies of a worker. A stream's owner is its copy, retained until the stream is closed.
final class MirrorStreams: UpstreamStreamDelegate {
    private static let lookupLimit = 3
    private let loop: EventLoop
    private let worker: Int
    private let live = LiveCopies()

    init(loop: EventLoop, worker: Int) {
        self.loop = loop
        self.worker = worker
    }

    /// Sends a copy of a request's head; `nil`: there is no memory for one.
    func begin(
        _ mirror: RouteMirrors.Mirror, _ upstream: Upstream, _ request: HeaderList, isComplete: Bool
    ) -> MirrorCopy? {
        let copy = MirrorCopy(mirror, upstream, live: live, loop: loop, worker: worker, isComplete: isComplete)
        copy.cells.requests.add()
        guard copy.takeHead(request) else {
            copy.drop(.memory)
            return nil
        }
        live.add(copy)
        let owner = StreamOwner.retaining(copy)
        copy.stream.owner = owner
        copy.stream.delegate = Unmanaged.passUnretained(self)
        copy.timer.pointee.target = owner.pointer
        copy.timer.pointee.action = { MirrorStreams.copy(StreamOwner($0)).drop(.timeout) }
        assign(copy)
        return copy
    }

    /// Memory is short: the copies go before anything that a client waits for.
    func dropAll() { live.all.forEach { $0.drop(.overload) } }

    private static func copy(_ owner: StreamOwner) -> MirrorCopy {
        owner.object(MirrorCopy.self)
    }

    // MARK: Finding a connection

    private func assign(_ copy: MirrorCopy) {
        guard !copy.isOver, let owner = copy.stream.owner else { return }
        copy.lookups += 1
        copy.isWaiting = true
        let pendingStream = PendingStream(owner: owner, delegate: Unmanaged.passUnretained(self))
        let wish = copy.upstream.wish(forCall: copy.request)
        switch copy.upstream.assign(pendingStream, excluding: copy.endpoint, wish: wish) {
        case .connection(let connection): send(copy, on: connection)
        case .waiting(let endpoint): copy.endpoint = endpoint
        case .resolving: break
        case .unavailable, .overflow: unavailable(copy)
        }
    }

    private func send(_ copy: MirrorCopy, on connection: UpstreamConnection) {
        copy.endpoint = connection.endpoint
        copy.isWaiting = false
        switch connection.open(copy.stream, copy.request, hasBody: copy.hasBody) {
        case .opened: break
        case .noRoom: copy.lookups < MirrorStreams.lookupLimit ? assign(copy) : unavailable(copy)
        case .awaitsSettings: awaitSettings(copy, of: connection)
        case .headTooLarge: unavailable(copy, .headers)
        }
        copy.forgetHead()
    }

    private func awaitSettings(_ copy: MirrorCopy, of connection: UpstreamConnection) {
        guard let owner = copy.stream.owner else { return }
        copy.isWaiting = true
        let pendingStream = PendingStream(owner: owner, delegate: Unmanaged.passUnretained(self))
        if connection.awaitSettings(pendingStream) != nil { unavailable(copy) }
    }

    private func unavailable(_ copy: MirrorCopy, _ reason: MirrorCells.Drop = .unavailable) {
        copy.isWaiting = false
        copy.drop(reason)
        copy.release()
    }

    override func connectionReady(_ owner: StreamOwner, _ connection: UpstreamConnection) {
        send(MirrorStreams.copy(owner), on: connection)
    }

    override func waits(_ owner: StreamOwner, _ endpoint: Endpoint) {
        MirrorStreams.copy(owner).endpoint = endpoint
    }

    override func connectionFailed(_ owner: StreamOwner, _ reason: String) {
        let copy = MirrorStreams.copy(owner)
        copy.lookups < MirrorStreams.lookupLimit ? assign(copy) : unavailable(copy)
    }

    // MARK: The stream

    override func readBody(
        _ stream: StreamOwner, into target: UnsafeMutablePointer<UInt8>, limit: Int
    ) -> BodyRead {
        let copy = MirrorStreams.copy(stream)
        let count = copy.body.read(into: target, limit: limit, loop.blocks)
        copy.memory.shrink(by: count)
        guard copy.isComplete, copy.body.isEmpty else { return count > 0 ? .bytes(count) : .later }
        guard !copy.record.pointee.requestTrailers.isEmpty else { return .last(count) }
        switch copy.stream.submitTrailers(copy.record.pointee.requestTrailers) {
        case .sent, .noStream: return .lastBeforeTrailers(count)
        case .awaitsSettings: return count > 0 ? .bytes(count) : .later
        case .tooLarge:
            copy.drop(.headers)
            return .failed
        }
    }

    override func sectionBegan(
        _ stream: StreamOwner, _ section: Section
    ) -> HeaderList? {
        let copy = MirrorStreams.copy(stream)
        guard !copy.isOver else { return nil }
        return copy.isHeadKnown
            ? copy.record.pointee.responseTrailers
            : copy.record.pointee.response
    }

    override func sectionEnded(
        _ stream: StreamOwner, _ section: Section, endsStream: Bool, tooLarge: Bool
    ) {
        let copy = MirrorStreams.copy(stream)
        guard !copy.isOver else { return }
        guard !tooLarge else { return copy.drop(.reset) }
        if !copy.isHeadKnown {
            let status = copy.record.pointee.response.value(.status).map(HTTPStatus.parse) ?? 0
            if status < 200 { return copy.record.pointee.response.reset() }
            copy.isHeadKnown = true
            guard copy.memory.tryGrow(by: copy.record.pointee.response.memorySize) else { return copy.drop(.memory) }
        }
        if endsStream { answered(copy) }
    }

    override func dataReceived(_ stream: StreamOwner, _ bytes: Bytes) {
        MirrorStreams.copy(stream).stream.consume(bytes.count)
    }

    override func dataEnded(_ stream: StreamOwner) { answered(MirrorStreams.copy(stream)) }

    private func answered(_ copy: MirrorCopy) {
        guard !copy.isOver else { return }
        let record = copy.record
        let status = record.pointee.responseTrailers.value(.grpcStatus) ?? record.pointee.response.value(.grpcStatus)
        copy.cells.countAnswer(status: status.map { Int(GRPCStatus(parsing: $0)?.rawValue ?? 255) } ?? -1)
        // A stream that both sides have ended closes by itself.
        guard copy.isComplete, copy.body.isEmpty else { return copy.end() }
        copy.settle()
    }

    override func streamClosed(_ stream: StreamOwner, _ end: StreamEnd, _ reason: CloseReason?) {
        let copy = MirrorStreams.copy(stream)
        copy.drop(.reset)
        copy.release()
    }
}

extension MirrorCopy {
    /// What a copy takes beside lists of fields and its body.
    fileprivate static let ownSize = MemoryLayout<Record>.stride + 1024

    /// - Returns: false when there is no memory for the copy.
    fileprivate func takeHead(_ head: HeaderList) -> Bool {
        headSize = head.memorySize
        guard memory.tryGrow(by: MirrorCopy.ownSize + headSize) else { return false }
        request.append(contentsOf: head)
        return true
    }

    /// The head has gone out, if the stream is open.
    fileprivate func forgetHead() {
        guard stream.isOpen else { return }
        record.pointee.request.destroy()
        record.pointee.request = HeaderList()
        memory.shrink(by: headSize)
        headSize = 0
    }

    /// The answer is there and the request is out.
    fileprivate func settle() { markOver() }

    private func markOver() {
        isOver = true
        loop.clear(timer)
        live.remove(self)
    }
}

/// The copies of a worker that are not over, in any order.
final class LiveCopies {
    private(set) var all: [MirrorCopy] = []

    fileprivate func add(_ copy: MirrorCopy) {
        copy.place = all.count
        all.append(copy)
    }

    fileprivate func remove(_ copy: MirrorCopy) {
        guard let place = copy.place, let last = all.last else { return }
        copy.place = nil
        if last !== copy {
            all[place] = last
            last.place = place
        }
        all.removeLast()
    }
}
