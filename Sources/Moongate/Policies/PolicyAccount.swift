/// What is known of an exchange so far, for hooks that ask.
struct PolicyAccount {
    /// Milliseconds since 1970.
    var startedAt: Int64 = 0
    /// Nanoseconds since the request began; in a log hook until it was over.
    var duration: UInt64 = 0
    /// Nanoseconds from the beginning until an upstream's connection took the request.
    var sent: UInt64?
    /// Nanoseconds from the beginning until the head of the upstream's response came.
    var answered: UInt64?
    /// `nil`: no upstream was chosen.
    var upstream: String?
    var endpoint: String?
    /// How often an endpoint was looked for.
    var attempts: Int64 = 0
    /// The response's status; `nil`: there was no response.
    var httpStatus: Int?
    /// `nil`: the request was not gRPC, or its end is not known.
    var grpcStatus: UInt8?
}

extension Pooled where Record == PolicyRunRecord {
    /// `nil` where no exchange is, as in timers.
    var account: PolicyAccount? {
        guard let owner = self.owner else { return nil }
        return self.host._withUnsafeGuaranteedRef { $0.account?(owner) }
    }
}
