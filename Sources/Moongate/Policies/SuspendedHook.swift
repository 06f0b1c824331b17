import MoongateLua

/// One call of a hook that waits: which policy's, for which direction, and what it waits for.
///
/// An exchange may have several: one policy streams the request while another one waits for an answer with the head.
/// Made when a hook waits for the first time; hooks that run through need none.
final class SuspendedHook {
    /// What a hook waits for.
    enum Wait: UInt8 {
        /// From outside, through `PolicyHost.completion`.
        case answer
        /// The whole body.
        case body
        /// The next piece of the body.
        case chunk
        /// The next gRPC message of the body.
        case message
        /// The end of the body.
        case trailers
    }

    let instance: Int32
    let phase: PolicyRunRecord.Phase
    let isMessageHook: Bool
    var thread: LuaThread
    /// Tells the answers to this wait from those to others.
    var waitNumber: UInt64
    var wait: Wait
    /// The head of its direction went on without waiting for the hook's end.
    var isDetached = false
    /// What the hook sees of the run, in its engine.
    let visit: PolicyVisit
    /// Bytes that the hook has asked for of late, and whom they count for.
    private var taken = 0
    private var client: ClientShare?
    private var isCounted = false
    /// Where it takes part in the body; `nil` as long as it has not asked for it.
    var stage: BodyStage?

    /// A wait of the hook that runs.
    init(_ run: PolicyRun, _ thread: LuaThread, _ wait: Wait) {
        instance = run.current
        phase = run.phase
        isMessageHook = run.isMessageHook
        visit = run.visit
        self.thread = thread
        waitNumber = run.waitNumber
        self.wait = wait
        client = run.clientShare
        waits()
    }

    /// The hook waits.
    func waits() {
        visit.pointee.engine?._withUnsafeGuaranteedRef { engine in
            // A hook that waits again and again, for messages, has long let go of most of it.
            taken = taken / 2 + engine.vm.memoryTaken
            engine.memory.waits(taken, of: client)
        }
        isCounted = true
    }

    /// The hook does not wait any more.
    func ended() {
        guard isCounted else { return }
        isCounted = false
        visit.pointee.engine?._withUnsafeGuaranteedRef { $0.memory.waitEnded(taken, of: client) }
    }
}

/// With what a waiting hook goes on.
enum PolicyAnswer {
    case values([LuaValue])
    /// `nil` is nil.
    case object(LuaObject?)
}
