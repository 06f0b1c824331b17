import MoongateLua

/// The body of one direction of an exchange in memory, with its trailers. It comes behind its head, as in production, and
/// what policies let go on is kept.
final class SpecBody {
    private let queue = UnsafeMutablePointer<ByteQueue>.allocate(capacity: 1)
    private let list = HeaderList()
    private let ended = UnsafeMutablePointer<Bool>.allocate(capacity: 1)
    private let tracker = UnsafeMutablePointer<GRPCMessageTracker>.allocate(capacity: 1)
    private let headSent = UnsafeMutablePointer<Bool>.allocate(capacity: 1)
    private let blocks = BlockPool()
    /// What has gone on.
    private let passed = PolicyBuffer()
    /// What is still to come.
    private var coming: (body: [UInt8], trailers: [(String, String)])?

    init() {
        queue.initialize(to: ByteQueue())
        ended.initialize(to: true)
        tracker.initialize(to: GRPCMessageTracker())
        headSent.initialize(to: false)
    }

    deinit {
        queue.pointee.clear(blocks)
        list.destroy()
        queue.deallocate()
        ended.deallocate()
        tracker.deallocate()
        headSent.deallocate()
    }

    /// As policies take part in it.
    func flow(_ head: HeaderList) -> PolicyFlow {
        PolicyFlow(queue: queue, head: head, trailers: list, ended: ended, messages: tracker, headSent: headSent)
    }

    /// The head has gone on: what follows does, too.
    var isHeadSent: Bool { headSent.pointee }
    var isAtMessageBoundary: Bool { tracker.pointee.isAtBoundary }

    func sendHead() { headSent.pointee = true }

    /// Begins with a body that `arrive` brings, or with nothing to come.
    func begin(_ body: [UInt8], trailers: [(String, String)] = []) {
        clear()
        ended.pointee = body.isEmpty && trailers.isEmpty
        if !ended.pointee { coming = (body, trailers) }
    }

    /// A whole body that is there at once.
    func fill(_ text: String) {
        clear()
        coming = nil
        text.withBytes { queue.pointee.append($0, blocks) }
        list.reset()
        ended.pointee = true
    }

    private func clear() {
        queue.pointee.clear(blocks)
        passed.removeAll()
        list.reset()
    }

    /// Body and trailers come; through the policies, if any takes part in them.
    func arrive(through policies: PolicyBody?) {
        guard let (body, trailers) = coming else { return }
        coming = nil
        if !body.isEmpty {
            body.withBytes { bytes in
                guard let policies else { return queue.pointee.append(bytes, blocks) }
                policies.receive(bytes)
            }
        }
        for (name, value) in trailers { list.add(name, value) }
        if let policies { policies.receiveEnd() } else { ended.pointee = true }
    }

    /// Takes what policies have let go on, so that there is room for more. False: nothing.
    func drain() -> Bool {
        guard isHeadSent, !queue.pointee.isEmpty else { return false }
        passed.take(queue, blocks)
        return true
    }

    /// Ends it with other trailers, wherever it stands.
    func end(_ trailers: (HeaderList) -> Void) {
        list.reset()
        trailers(list)
    }

    // MARK: What is seen

    /// What is there now, and stays.
    private var bytes: [UInt8] {
        let rest = PolicyBuffer()
        rest.take(queue, blocks)
        queue.pointee.append(rest.bytes, blocks)
        return Array(passed.bytes.buffer) + Array(rest.bytes.buffer)
    }

    /// - Parameter isGRPC: its messages are shown, too, if there is no rest.
    func view(isGRPC: Bool) -> [(String, LuaValue)] {
        let bytes = bytes
        var fields: [(String, LuaValue)] = [("body", .bytes(bytes)), ("trailers", list.asList)]
        if isGRPC, let messages = SpecBody.messages(of: bytes) { fields.append(("messages", .list(messages))) }
        return fields
    }

    private static func messages(of bytes: [UInt8]) -> [LuaValue]? {
        var (input, reader, messages) = (PolicyChunks(), GRPCMessageReader(limit: Int.max), [LuaValue]())
        bytes.withBytes { input.append($0) }
        while case .message(let message) = reader.next(&input) {
            messages.append(.bytes(Array(message.payload.buffer)))
        }
        return reader.isEmpty ? messages : nil
    }
}
