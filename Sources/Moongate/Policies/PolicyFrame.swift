import MoongateLua

/// One call of a hook that waits: which policy's, for which direction, and what it waits for.
///
/// An exchange may have several: one policy streams the request while another one waits for an answer with the head.
/// Made when a hook waits for the first time; hooks that run through need none.
final class PolicyFrame {
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
    /// Where it takes part in the body; `nil` as long as it has not asked for it.
    var stage: BodyStage?

    /// A wait of the hook that runs.
    init(_ run: PolicyRun, _ thread: LuaThread, _ wait: Wait) {
        instance = run.pointer.pointee.current
        phase = run.pointer.pointee.phase
        isMessageHook = run.pointer.pointee.isMessageHook
        self.thread = thread
        waitNumber = run.pointer.pointee.waitNumber
        self.wait = wait
    }
}

/// With what a waiting hook goes on.
enum PolicyAnswer {
    case values([LuaValue])
    /// `nil` is nil.
    case object(LuaObject?)
}
