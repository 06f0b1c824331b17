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
    /// A body is larger than `policies.body_limit`; the hook that waited for it has ended.
    case bodyTooLarge
    /// A hook failed, and its policy denies in that case. Logged and counted already.
    case fail(PolicyErrorReason)
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
