import CMoongate

/// The time limit of the run that calls a leaf, for work that takes longer than some milliseconds on its greatest input.
///
/// Such work asks now and then and gives up when the limit is exceeded; its leaf returns `BindingCall.leave()` then. A
/// default value has no limit: outside of a run.
struct RunLimit {
    private let call: BindingCall?

    init(of call: BindingCall? = nil) { self.call = call }

    /// A load and a comparison.
    @inline(__always) var isExceeded: Bool { call.map { mg_call_is_over_limit($0) } ?? false }
}

extension UnsafeMutablePointer where Pointee == mg_call {
    var limit: RunLimit { RunLimit(of: self) }

    /// Leaves the script, whose run is over its time limit.
    func leave() -> mg_action { MG_LEAVE }

    /// Raises a script error, or leaves the script if the work failed since its time is up.
    func failOrLeave(_ message: CallMessage) -> mg_action { limit.isExceeded ? leave() : fail(message) }
}
