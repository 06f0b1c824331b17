/// The hooks of a policy, as metrics name them.
enum PolicyHook: Int, CaseIterable, Sendable {
    case onRequest
    case onResponse

    var label: String {
        switch self {
        case .onRequest: "on_request"
        case .onResponse: "on_response"
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
        static let count = errors + PolicyHook.allCases.count * PolicyErrorReason.allCases.count

        static func error(_ hook: PolicyHook, _ reason: PolicyErrorReason) -> Int {
            errors + hook.rawValue * PolicyErrorReason.allCases.count + reason.rawValue
        }
    }

    let row: CounterRow

    @inline(__always) func countRun(_ hook: PolicyHook) { row[Column.runs + hook.rawValue].add() }

    /// The hook answered the request itself.
    @inline(__always) func countReply(_ hook: PolicyHook) { row[Column.replies + hook.rawValue].add() }

    func countError(_ hook: PolicyHook, _ reason: PolicyErrorReason) { row[Column.error(hook, reason)].add() }
}
