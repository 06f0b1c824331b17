import CMoongate
import MoongateLua

/// Where one exchange stands with its policies. Pooled by the worker's host.
struct PolicyRunRecord {
    enum Phase: UInt8 {
        case idle, request, response
        /// A function that a timer calls, without an exchange.
        case timer
        /// `on_close` of a policy that has served, without an exchange.
        case close
        /// The exchange has ended: everything can be read and nothing changed.
        case log
    }

    var subject = PolicySubject()
    /// The exchange, for `PolicyHost.resumed`.
    var owner: UnsafeMutableRawPointer?
    let host: Unmanaged<PolicyHost>
    /// The instances that numbers stand for; `PolicyHost.none` between uses.
    var instances: UnsafeMutablePointer<PolicyInstance>
    /// What the hook that runs sees of the run, in its engine.
    var visit: PolicyVisit
    /// The engines that hooks have entered, the last one first.
    var visits: PolicyVisit?

    var phase = Phase.idle
    /// In the request phase: what runs.
    var chain: PolicyChain?
    /// Request phase: the next place in the chain. Response phase: how many of `ran` are still to come.
    var position = 0
    /// The instance whose hook runs or waits.
    var current: Int32 = 0
    /// Instances that were reached in the request phase, in order.
    var ran = InstanceList()

    /// The hooks that wait.
    var frames: [SuspendedHook] = []
    /// The newest wait's number, over all frames.
    var waitNumber: UInt64 = 0
    /// Made with the first call or sleep.
    var startedWork: PolicyWork?
    /// For what the leaf that says MG_WAIT makes its hook wait.
    var wait = SuspendedHook.Wait.answer
    /// Where the hook that runs takes part in the body; `nil` outside of hooks.
    var stage: BodyStage?
    /// The bodies, once a hook has asked for them.
    var requestBody: PolicyBody?
    var responseBody: PolicyBody?
    /// The head of the hook that runs has gone on: nothing of it can be changed.
    var isHeadGone = false
    /// What ends the hook that runs in place of an answer of its own.
    var refusal: PolicyRefusal?
    /// The hook that runs ends a response that has begun.
    var endsResponse = false
    /// How: trailers, filled in before `PolicyVerdict.end`. Until the run ends.
    var ending = HeaderList()
    /// What runs is the hook for messages.
    var isMessageHook = false
    /// The instance whose hook for messages comes next, -1: none.
    var messageHook: Int32 = -1
    /// What hooks decided that went on after a wait; for `PolicyHost.resumed`.
    var verdict: PolicyVerdict?
    /// The head still waits after a hook has gone on; for `PolicyHost.waitsAgain`.
    var waitsAgain = false
    /// What goes on in a later turn.
    var steps: [PolicyStep] = []
    /// The end of the loop's turn will be told.
    var expectsTurnEnd = false
    /// The beginning of the loop's next turn will be told.
    var expectsNextTurn = false

    /// The body of a local reply; empty for gRPC, whose message is in the head. Until the run ends.
    var replyBody = Bytes.empty
    var arena = Arena()
    /// Made when a script first sets something.
    var dynamicMetadata: DynamicMetadata?
    /// Made when a script first takes one.
    var heldSlots: HeldSlots?
    var filterState: FilterState?
    /// Made when a script first sets something.
    var context: SharedContext?
    var nextFree: UnsafeMutablePointer<PolicyRunRecord>?

    init(host: PolicyHost) {
        self.host = .passUnretained(host)
        instances = host.none
        visit = host.nowhere
    }

    /// Frees what the record owns.
    mutating func destroy() {
        arena.free()
        ran.free()
        ending.destroy()
    }
}

typealias PolicyRun = Pooled<PolicyRunRecord>

/// A header list as a script sees it.
struct PolicyHeaderMap {
    let isRequest: Bool
    let isTrailers: Bool
    var visit: PolicyVisit?
    /// The run whose list it is.
    var run: PolicyRun? { visit?.run }

    init(isRequest: Bool, isTrailers: Bool = false) {
        self.isRequest = isRequest
        self.isTrailers = isTrailers
    }
}

/// Values of the configuration as a script sees them.
struct PolicyMetadataMap {
    enum Source: UInt8 {
        case route, listener, context
    }
    let source: Source
    var visit: PolicyVisit?
    var run: PolicyRun? { visit?.run }

    init(source: Source) { self.source = source }
}

/// Instance indexes in the order they were added. Kept for reuse; grows only when a longer chain comes along.
struct InstanceList {
    private var base: UnsafeMutablePointer<Int32>
    private var capacity = 8
    private(set) var count = 0

    init() { base = .allocate(capacity: 8) }

    func free() { base.deallocate() }

    @inline(__always) subscript(index: Int) -> Int32 { base[index] }

    mutating func removeAll() { count = 0 }

    func contains(_ instance: Int32) -> Bool {
        for index in 0..<count where base[index] == instance { return true }
        return false
    }

    mutating func append(_ instance: Int32) {
        if count == capacity {
            let larger = UnsafeMutablePointer<Int32>.allocate(capacity: capacity * 2)
            larger.initialize(from: base, count: count)
            base.deallocate()
            base = larger
            capacity *= 2
        }
        base[count] = instance
        count += 1
    }
}
