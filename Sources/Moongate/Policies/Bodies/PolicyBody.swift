import MoongateLua

/// The body of one direction of an exchange on its way through the hooks that asked for it.
///
/// Made when the first hook of the direction asks for body or trailers. From then on what comes from the network goes
/// from stage to stage, in the order of the hooks, and behind the last one into the exchange's outgoing queue. The end
/// of the body and its trailers are held back until the last stage is done with them.
///
/// The first stage takes over what lies in the outgoing queue, and so does every later one: a hook that begins before
/// the head has been sent begins before any of the body has.
final class PolicyBody {
    /// A stage stops taking when so many bytes wait behind it.
    static let mark = 64 * 1024

    let run: PolicyRun
    let isResponse: Bool
    let flow: PolicyFlow
    private(set) var stages: [BodyStage] = []
    /// The newest bytes may turn out to be the last: the end may come in the same turn of the loop.
    var newestIsOpen = false
    /// The end has passed the last stage; told once, by `takeEnd`.
    private var isDone = false
    private var endIsTold = false
    /// How many messages may be given before other streams of the worker have their turn.
    var messagesLeft = PolicyBody.messagesPerTurn
    /// Bytes from the network that still hold the sender's window.
    private var unconsumed = 0
    /// Bytes that are kept beyond that, as far as whoever keeps account of them was told.
    var charged = 0
    private var isPumping = false
    private var isHalted: Bool { isClosed || run.verdict?.endsExchange == true }
    private var isClosed = false
    /// A message that has no body, whatever a script says (RFC 9110 §6.4.1).
    let isBodiless: Bool

    init(_ run: PolicyRun, isResponse: Bool) {
        self.run = run
        self.isResponse = isResponse
        flow = isResponse ? run.subject.responseFlow : run.subject.requestFlow
        isBodiless = isResponse && PolicyBody.isBodiless(run)
    }

    private static func isBodiless(_ run: PolicyRun) -> Bool {
        if let method = run.subject.request?.value(.method), method.equals("HEAD") {
            return true
        }
        guard let status = run.subject.response?.value(.status) else { return false }
        return HTTPStatus.excludesContent(HTTPStatus.parse(status))
    }

    var hasTrailers: Bool { !(flow.trailers?.isEmpty ?? true) }

    var host: PolicyHost { run.host.takeUnretainedValue() }

    /// A stage behind all others, which begins with what lies in the outgoing queue.
    func addStage(_ instance: Int32, _ visit: PolicyVisit) -> BodyStage {
        let stage = BodyStage(instance, visit, self)
        let taken = PolicyBuffer()
        if let queue = flow.queue, !queue.pointee.isEmpty {
            taken.take(queue, host.blocks)
            newestIsOpen = true
            stage.input.append(taken)
            flow.messages?.pointee = GRPCMessageTracker()
        }
        if stages.isEmpty { unconsumed = taken.count }
        stage.inputEnded = flow.ended?.pointee ?? true
        flow.ended?.pointee = false
        isDone = false
        stages.append(stage)
        return stage
    }

    // MARK: From the network

    func receive(_ bytes: Bytes) {
        unconsumed += bytes.count
        newestIsOpen = true
        stages.first?.input.append(bytes)
    }

    func receiveEnd() { stages.first?.inputEnded = true }

    // MARK: For the exchange

    /// Bytes that the stages keep.
    var heldBytes: Int { stages.reduce(0) { $0 + $1.held + $1.collected } }

    /// How many bytes the sender may send again from now on.
    func takeConsumed() -> Int {
        let count = consumable
        consume(count)
        return count
    }

    /// How many bytes the sender may send again.
    var consumable: Int {
        guard queued < PolicyBody.mark else { return 0 }
        return max(0, unconsumed - stages.reduce(0) { $0 + $1.held })
    }

    /// Bytes that are kept here and in the outgoing queue and hold no window of the sender's, once it may send `count` again.
    func excess(after count: Int) -> Int { max(0, heldBytes + queued - (unconsumed - count)) }

    /// The sender may send so many again.
    func consume(_ count: Int) { unconsumed -= count }

    private var queued: Int { flow.queue?.pointee.count ?? 0 }

    /// True once: the body has ended, and `flow.ended` says so.
    func takeEnd() -> Bool {
        guard isDone, !endIsTold else { return false }
        endIsTold = true
        return true
    }

    /// Nothing moves any more, and what scripts hold of it is dead.
    func close() {
        isClosed = true
        for stage in stages {
            stage.endObject()
            stage.frame?.stage = nil
            stage.frame = nil
            stage.input.removeAll()
            stage.reader = nil
        }
        stages = []
    }

    // MARK: From stage to stage

    /// Moves what can move. Runs hooks: their verdicts are left in the run.
    ///
    /// - Parameter last: the stage before which to stop: its hook is being asked.
    func pump(upTo last: BodyStage? = nil) {
        guard !isPumping else { return }
        isPumping = true
        defer { isPumping = false }
        var moved = true
        while moved && !isHalted {
            moved = false
            var index = 0
            while index < stages.count, stages[index] !== last, !isHalted {
                if step(stages[index], index) { moved = true }
                index += 1
            }
        }
    }

    private func step(_ stage: BodyStage, _ index: Int) -> Bool {
        if stage === run.stage { return false }
        guard let frame = stage.frame else { return pass(stage, index) }
        if frame.wait != .answer && stage.hasNews && run.waits(for: .bodies) { return false }
        switch frame.wait {
        case .answer: return false
        case .body: return gather(stage, frame)
        case .chunk: return giveChunk(stage, frame, index)
        case .message: return giveMessage(stage, frame, index)
        case .trailers: return giveTrailers(stage, frame, index)
        }
    }

    /// Everything goes on as it is.
    private func pass(_ stage: BodyStage, _ index: Int) -> Bool {
        var moved = flush(stage, index)
        if passInput(stage, index) { moved = true }
        if stage.input.isEmpty && stage.inputEnded && !stage.hasEnded {
            stage.hasEnded = true
            end(after: index)
            moved = true
        }
        return moved
    }

    private func passInput(_ stage: BodyStage, _ index: Int) -> Bool {
        var moved = false
        if stage.reader?.isEmpty == false {
            stage.reader?.giveUp { emit($0, after: index) }
            moved = true
        }
        while hasRoom(after: index), let chunk = stage.input.removeFirst() {
            emit(chunk.bytes, after: index)
            moved = true
        }
        return moved
    }

    /// What the script worked on goes on.
    func flush(_ stage: BodyStage, _ index: Int) -> Bool {
        guard let buffer = stage.chunk ?? stage.whole else { return false }
        stage.endObject()
        stage.chunk = nil
        stage.whole = nil
        emit(buffer.bytes, after: index)
        return true
    }

    private func gather(_ stage: BodyStage, _ frame: SuspendedHook) -> Bool {
        guard fill(stage) else {
            run.refuse(frame, .bodyTooLarge)
            return true
        }
        guard stage.inputEnded else { return false }
        run.goOn(frame, bodyAnswer(stage))
        return true
    }

    /// Takes what has come into the whole body. False: it is too large.
    func fill(_ stage: BodyStage) -> Bool {
        let whole = stage.whole ?? PolicyBuffer()
        stage.whole = whole
        whole.stage = stage
        while let chunk = stage.input.removeFirst() {
            whole.append(chunk.bytes)
            if whole.count > stage.bodyLimit { return false }
        }
        return true
    }

    /// What `body()` gives once all of it is there; `nil`: there is no memory for it.
    func bodyAnswer(_ stage: BodyStage) -> PolicyAnswer? {
        guard let whole = stage.whole, whole.count > 0 || stage.wrapsEmpty else { return .object(nil) }
        return stage.lend(whole).map { .object($0) }
    }

    private func giveChunk(_ stage: BodyStage, _ frame: SuspendedHook, _ index: Int) -> Bool {
        let moved = flush(stage, index)
        guard hasRoom(after: index) else { return moved }
        if let chunk = stage.nextChunk() {
            stage.chunk = chunk
            run.goOn(frame, stage.lend(chunk).map { .object($0) })
            return true
        }
        guard stage.isOver else { return moved }
        run.goOn(frame, .object(nil))
        return true
    }

    private func giveTrailers(_ stage: BodyStage, _ frame: SuspendedHook, _ index: Int) -> Bool {
        var moved = flush(stage, index)
        if passInput(stage, index) { moved = true }
        guard stage.input.isEmpty && stage.inputEnded else { return moved }
        run.goOn(frame, .object(trailersObject(stage)))
        return true
    }

    /// What `trailers()` gives once the end is known.
    func trailersObject(_ stage: BodyStage) -> LuaObject? {
        guard hasTrailers || stage.makesTrailers else { return nil }
        return stage.visit.lend(isResponse ? .responseTrailers : .requestTrailers)
    }

    // MARK: Behind a stage

    func hasRoom(after index: Int) -> Bool {
        guard index + 1 < stages.count else { return queued < PolicyBody.mark }
        let next = stages[index + 1]
        return next.frame?.wait == .body || next.input.size < PolicyBody.mark
    }

    private func emit(_ bytes: Bytes, after index: Int) {
        guard bytes.count > 0, !isClosed else { return }
        guard index + 1 >= stages.count else { return stages[index + 1].input.append(bytes) }
        guard !isBodiless else { return }
        flow.messages?.pointee.consume(bytes)
        flow.queue?.pointee.append(bytes, host.blocks)
    }

    private func end(after index: Int) {
        guard index + 1 >= stages.count else {
            stages[index + 1].inputEnded = true
            return
        }
        isDone = true
        flow.ended?.pointee = true
    }
}
