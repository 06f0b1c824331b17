/// The hooks of a policy, as metrics name them.
enum PolicyHook: Int, CaseIterable, Sendable {
    case onRequest
    case onResponse
    /// Once for each gRPC message.
    case onMessage
    /// A function that a timer calls.
    case timer
    case onLog
    case onClose

    var label: String {
        switch self {
        case .onRequest: "on_request"
        case .onResponse: "on_response"
        case .onMessage: "on_grpc_message"
        case .timer: "timer"
        case .onLog: "on_log"
        case .onClose: "on_close"
        }
    }
}

/// Why a hook failed; a closed set, because each value is a time series.
enum PolicyErrorReason: Int, CaseIterable, Sendable {
    /// The script raised an error.
    case script
    /// It used more CPU time than one hook may.
    case timeLimit
    /// Its VM reached the memory limit.
    case memoryLimit
    /// It called for something that is bounded and was full, such as the password checks.
    case overload
    /// It yielded for nothing, or did what its phase does not allow.
    case misuse

    var label: String {
        switch self {
        case .script: "script"
        case .timeLimit: "time_limit"
        case .memoryLimit: "memory_limit"
        case .overload: "overload"
        case .misuse: "misuse"
        }
    }
}

/// What one worker counts for one policy. A trivial view, see `RouteCells`.
struct PolicyCells {
    enum Column {
        static let runs = 0
        static let replies = PolicyHook.allCases.count
        static let errors = replies + PolicyHook.allCases.count
        static let times = errors + PolicyHook.allCases.count * PolicyErrorReason.allCases.count
        static let peakMemory = times + PolicyHook.allCases.count * timeColumns
        /// Written by the control thread, into the first row.
        static let loadedAt = peakMemory + 1
        static let reloadFailures = peakMemory + 2
        static let memoryExceeded = peakMemory + 3
        static let overrunRefusals = peakMemory + 4
        static let widespreadOverruns = peakMemory + 5
        static let count = peakMemory + 6

        /// The buckets of `timeBounds`, the infinite one, and the sum in seconds.
        static let timeColumns = timeBounds.count + 2

        static func time(_ hook: PolicyHook) -> Int { times + hook.rawValue * timeColumns }

        static func error(_ hook: PolicyHook, _ reason: PolicyErrorReason) -> Int {
            errors + hook.rawValue * PolicyErrorReason.allCases.count + reason.rawValue
        }
    }

    /// Upper bounds in seconds of the buckets for times of hooks.
    static let timeBounds: [Double] = [
        1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1,
    ]

    let row: CounterRow

    @inline(__always) func countRun(_ hook: PolicyHook) { row[Column.runs + hook.rawValue].add() }

    /// The hook answered the request itself.
    @inline(__always) func countReply(_ hook: PolicyHook) { row[Column.replies + hook.rawValue].add() }

    /// It wanted more memory than it may hold, and is out of service on a worker until that has a new VM.
    func countMemoryExceeded() { row[Column.memoryExceeded].add() }

    /// A request was refused, since its client has had the policy exceed its time limit too often.
    func countOverrunRefusal() { row[Column.overrunRefusals].add() }

    /// It was said that the policy exceeds its time limit whoever calls it.
    func countWidespreadOverrun() { row[Column.widespreadOverruns].add() }

    func countError(_ hook: PolicyHook, _ reason: PolicyErrorReason) { row[Column.error(hook, reason)].add() }

    /// One of the runs that are timed.
    func countTime(_ hook: PolicyHook, nanoseconds: UInt64) {
        let seconds = Double(nanoseconds) * 1e-9
        let first = Column.time(hook)
        row[first + (PolicyCells.timeBounds.firstIndex { seconds <= $0 } ?? PolicyCells.timeBounds.count)].add()
        row[first + Column.timeColumns - 1].add(number: seconds)
    }

    /// The most memory that the engine was seen to hold.
    var peakMemory: Counter { row[Column.peakMemory] }
}
