import CMoongate

/// The time that scripts have in a turn of their worker's loop, and what goes on in a later one.
///
/// The time of a turn is over at the first tick of the guard's timer that falls into a script. Hooks that would begin or go on
/// after that wait here, by client connection, and go on when the loop has served others. At least one does so in each round.
///
/// One for each worker, on its thread.
final class PolicyTurn {
    /// Those who share the time alike.
    enum Lane: Hashable {
        /// A client's connection, by an address that is never followed.
        case connection(UInt)
        /// The timers of one policy, and the hooks of its end.
        case timers(ObjectIdentifier)
    }

    private var queue = RoundRobin<Lane, PolicyStep>()
    private var isAwaited = false
    /// What goes on now may begin although the time of the turn is over.
    private var hasPass = false
    /// Asks for a call of `goOn` when the loop has served others; `nil`: nobody turns a loop, and nothing ever waits.
    var awaitShare: (() -> Void)?

    var isEmpty: Bool { queue.isEmpty }

    /// Puts a step into the queue, unless it may be taken now.
    ///
    /// - Parameter first: before other steps of its lane.
    /// - Returns: `false`: it may be taken now.
    func postpone(_ step: PolicyStep, _ lane: Lane, first: Bool = false) -> Bool {
        guard !takePass(), let awaitShare else { return false }
        step.place = queue.append(step, to: lane, first: first)
        if !isAwaited {
            isAwaited = true
            awaitShare()
        }
        return true
    }

    /// Whether steps may be taken now.
    func takePass() -> Bool {
        guard hasPass else { return false }
        hasPass = false
        return true
    }

    /// The step is not taken any more.
    func cancel(_ step: PolicyStep) {
        guard let place = step.place else { return }
        step.place = nil
        queue.remove(place)
    }

    /// Others have had their time: takes steps until that of scripts is over.
    func goOn() {
        isAwaited = false
        var isFirst = true
        while isFirst || !mg_turn_is_spent(), let step = queue.pop() {
            isFirst = false
            step.place = nil
            hasPass = mg_turn_is_spent()
            step.action()
            hasPass = false
        }
        guard !queue.isEmpty, !isAwaited else { return }
        isAwaited = true
        awaitShare?()
    }
}

/// What a run or timer does when it goes on.
final class PolicyStep {
    /// For those who look for a step of theirs.
    enum Kind: Equatable {
        /// The next hooks of the head's phase.
        case head
        /// Bodies move on.
        case bodies
        /// A hook that waited has its answer.
        case answer
        /// The next log hooks.
        case log
        /// A timer's function.
        case timer
        /// The next hooks of a policy that closes.
        case close
    }

    let kind: Kind
    let action: () -> Void
    /// `nil`: it does not wait.
    fileprivate(set) var place: RoundRobin<PolicyTurn.Lane, PolicyStep>.Ticket?

    init(_ kind: Kind, _ action: @escaping () -> Void) {
        self.kind = kind
        self.action = action
    }
}

/// Tells a host that the loop has served others.
final class PolicyShareBegins: EventHandler {
    private weak var host: PolicyHost?
    init(_ host: PolicyHost) { self.host = host }

    override func again() {
        // A run that goes on may end others, and the exchange that keeps this host.
        guard let host else { return }
        withExtendedLifetime(host) { host.turn.goOn() }
    }
}
