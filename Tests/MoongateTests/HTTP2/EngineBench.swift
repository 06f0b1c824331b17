import Testing

@testable import Moongate

/// An HTTP/2 engine without a socket, a loop or a clock: bytes go in, and frames and events come out.
final class EngineBench: EngineHost {
    /// What the engine has told its host.
    enum Event: Equatable {
        case streamBegan, streamEnded, ready, leaving
        case pong(UInt32)
        case abused(Abuse)
        case ended(String)
    }

    /// A frame that the engine has sent.
    struct Frame: Equatable, CustomStringConvertible {
        var type: UInt8
        var flags: UInt8 = 0
        var stream: Int32 = 0
        var payload: [UInt8] = []

        var description: String { "frame \(type), flags \(flags), stream \(stream): \(payload)" }

        /// The error code of RST_STREAM and GOAWAY.
        var code: ErrorCode? {
            guard type == FrameType.resetStream || type == FrameType.goAway else { return nil }
            let word = payload.dropFirst(type == FrameType.goAway ? 4 : 0).prefix(4)
            return ErrorCode(rawValue: word.reduce(0) { $0 << 8 | UInt32($1) })
        }
    }

    /// Hears of the streams' events.
    final class Delegate: StreamDelegate {
        let head = HeaderList()
        /// Fields of the sections that have come, and how they ended.
        var sections: [(stream: Int32, section: Section, endsStream: Bool, tooLarge: Bool)] = []
        var data: [Int32: [UInt8]] = [:]
        var ended: Set<Int32> = []
        var closed: [Int32: StreamEnd] = [:]
        /// What each stream has to send.
        var body: [Int32: [UInt8]] = [:]
        var whenClosed: ((Int32) -> Void)?

        deinit { head.destroy() }

        private func stream(_ owner: StreamOwner) -> Stream {
            Stream(owner.pointer.assumingMemoryBound(to: StreamRecord.self))
        }

        override func sectionBegan(_ owner: StreamOwner, _ section: Section) -> HeaderList? {
            head.reset()
            return head
        }

        override func sectionEnded(_ owner: StreamOwner, _ section: Section, endsStream: Bool, tooLarge: Bool) {
            sections.append((stream(owner).id, section, endsStream, tooLarge))
        }

        override func dataReceived(_ owner: StreamOwner, _ bytes: Bytes) {
            data[stream(owner).id, default: []] += Array(bytes.buffer)
        }

        override func dataEnded(_ owner: StreamOwner) { ended.insert(stream(owner).id) }

        override func readBody(
            _ owner: StreamOwner, into target: UnsafeMutablePointer<UInt8>, limit: Int
        ) -> BodyRead {
            let id = stream(owner).id
            guard var rest = body[id] else { return .later }
            let count = min(limit, rest.count)
            for index in 0..<count { target[index] = rest[index] }
            rest.removeFirst(count)
            body[id] = rest
            return rest.isEmpty ? .last(count) : .bytes(count)
        }

        override func streamClosed(_ owner: StreamOwner, _ end: StreamEnd, _ reason: CloseReason?) {
            let id = stream(owner).id
            closed[id] = end
            whenClosed?(id)
        }
    }

    let delegate = Delegate()
    private(set) var events: [Event] = []
    /// Octets that the transport takes before it is full; more wait.
    var room = Int.max
    private let settings: EngineSettings
    private let shared = HTTP2SharedState()
    private var records: [UnsafeMutablePointer<StreamRecord>] = []
    private var sent: [UInt8] = []
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
    private(set) lazy var engine = HTTP2Engine(self, settings, shared)

    init(
        _ settings: EngineSettings, limits: StallLimits = StallLimits(), abuse: AbuseLimits = AbuseLimits()
    ) {
        self.settings = settings
        super.init(
            ConnectionState(isEncrypted: false, awaitsHandshake: false, limits: limits, abuse: abuse, now: 1),
            outputs: OutputPool())
        engine.begin()
    }

    /// The side of a client's connection that we are, with the client's preface and empty SETTINGS received.
    static func server(
        maxHeaderBytes: Int = 4096, streamLimit: Int = 100, limits: StallLimits = StallLimits(),
        abuse: AbuseLimits = AbuseLimits()
    ) -> EngineBench {
        let bench = EngineBench(
            EngineSettings(side: .server, maxHeaderBytes: maxHeaderBytes, streamLimit: streamLimit), limits: limits,
            abuse: abuse)
        bench.receive(Array(HTTP2Engine.preface.buffer))
        bench.receive(FrameType.settings)
        _ = bench.flush()
        return bench
    }

    deinit {
        for record in records { record.deallocate() }
        buffer.deallocate()
    }

    // MARK: In

    func receive(_ bytes: [UInt8]) { bytes.withBytes { engine.receive($0) } }

    func receive(_ type: UInt8, flags: UInt8 = 0, stream: Int32 = 0, _ payload: [UInt8] = []) {
        receive(EngineBench.frame(type, flags: flags, stream: stream, payload))
    }

    static func frame(_ type: UInt8, flags: UInt8 = 0, stream: Int32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
        let length = payload.count
        let id = UInt32(bitPattern: stream)
        return [UInt8(length >> 16), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
            + (0..<4).map { UInt8(truncatingIfNeeded: id >> (24 - 8 * $0)) } + payload
    }

    /// A stream for the engine to open.
    func makeStream() -> Stream {
        let record = UnsafeMutablePointer<StreamRecord>.allocate(capacity: 1)
        record.initialize(to: StreamRecord())
        records.append(record)
        let stream = Stream(record)
        stream.owner = StreamOwner(record)
        stream.delegate = .passUnretained(delegate)
        return stream
    }

    // MARK: Out

    /// Ends a turn.
    /// - Returns: the frames that have left in it.
    @discardableResult func flush() -> [Frame] {
        state.isFlushPending = false
        if !isClosed {
            giveRoom()
            engine.openHeldWindow()
            if engine.serveReadyStreams(buffer, mayWrite: room > 0), room > 0 { sendOutput() }
        }
        defer { sent.removeAll() }
        return frames(of: sent)
    }

    private func sendOutput() {
        guard !state.output.isEmpty else { return }
        _ = send(state.output.bytes)
        state.output.clear(outputs)
        engine.outputTaken()
    }

    private func frames(of bytes: [UInt8]) -> [Frame] {
        let preface = settings.side == .client && bytes.starts(with: Array(HTTP2Engine.preface.buffer))
        var rest = bytes.dropFirst(preface ? HTTP2Engine.preface.count : 0)
        var frames: [Frame] = []
        while rest.count >= FrameHead.size {
            let head = Array(rest.prefix(FrameHead.size)).withBytes { FrameHead(parsing: $0.base) }
            rest = rest.dropFirst(FrameHead.size)
            frames.append(
                Frame(type: head.type, flags: head.flags, stream: head.stream, payload: Array(rest.prefix(head.length)))
            )
            rest = rest.dropFirst(head.length)
        }
        return frames
    }

    func forgetEvents() { events.removeAll() }

    // MARK: The host

    override func send(_ bytes: Bytes) -> Bool {
        sent += Array(bytes.buffer)
        room -= bytes.count
        return room > 0
    }

    override func end(_ reason: CloseReason, lingering limits: LingerSchedule.Limits?) {
        guard !isClosed else { return }
        sendOutput()
        state.phase = .closed
        events.append(.ended(reason.text))
        engine.connectionClosed(reason)
    }

    override func openStream() -> Stream? { makeStream() }
    override func streamBegan() { events.append(.streamBegan) }
    override func streamEnded() { events.append(.streamEnded) }
    override func peerIsReady() { events.append(.ready) }
    override func peerIsLeaving() { events.append(.leaving) }
    override func pingAcknowledged(_ number: UInt32) { events.append(.pong(number)) }
    override func abused(_ kind: Abuse) { events.append(.abused(kind)) }
}
