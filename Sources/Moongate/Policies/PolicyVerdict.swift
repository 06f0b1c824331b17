import MoongateLua

extension PolicyVerdict {
    /// Nothing of the bodies goes on.
    var endsExchange: Bool { self != .proceed && self != .pause }
}

/// What the policies of a phase say.
enum PolicyVerdict: Equatable {
    /// Go on.
    case proceed
    /// A hook waits. The host's `resumed` brings the verdict later, on the same thread.
    case pause
    /// The answer is in the subject's response list, complete for its kind, and `replyBody`.
    case reply
    /// The status that ends a response which has begun is in the run's `ending`.
    case end
    /// The hook that waited for a body has ended because of what came.
    case refuse(PolicyRefusal)
    /// A hook failed, and its policy denies in that case. Logged and counted already.
    case fail(PolicyErrorReason)
    /// A policy takes no more runs at present, from anybody or from this client; `on_error` has no say in that.
    case exhausted
}

/// What is wrong with a body that a hook asked for.
enum PolicyRefusal: Equatable {
    /// It is larger than `policies.body_limit`.
    case bodyTooLarge
    /// One of its gRPC messages is larger than the hook takes: so many bytes.
    case messageTooLarge(limit: Int)
    /// It ends within a gRPC message.
    case messageCut
}

extension PolicyErrorReason {
    init(_ reason: LuaError.Reason) {
        switch reason {
        case .runtime, .syntax: self = .script
        case .time: self = .timeLimit
        case .memory: self = .memoryLimit
        case .misuse: self = .misuse
        }
    }
}
