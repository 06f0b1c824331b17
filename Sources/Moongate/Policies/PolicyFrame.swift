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
        /// The end of the body.
        case trailers
    }

    let instance: Int32
    let phase: PolicyRunRecord.Phase
    var thread: LuaThread
    /// Tells the answers to this wait from those to others.
    var waitNumber: UInt64
    var wait: Wait
    /// The head of its direction went on without waiting for the hook's end.
    var isDetached = false
    /// Where it takes part in the body; `nil` as long as it has not asked for it.
    var stage: BodyStage?

    init(_ instance: Int32, _ phase: PolicyRunRecord.Phase, _ thread: LuaThread, _ number: UInt64, _ wait: Wait) {
        self.instance = instance
        self.phase = phase
        self.thread = thread
        self.waitNumber = number
        self.wait = wait
    }
}

/// With what a waiting hook goes on.
enum PolicyAnswer {
    case values([LuaValue])
    /// `nil` is nil.
    case object(LuaObject?)
}
