import MoongateConfig

/// Why the files are read again.
enum ReloadReason: String, Sendable {
    case signal
    case fileChange = "file_change"
    /// Asked for within the process.
    case command
}

/// What became of a reload, and the files it looked at.
struct ReloadResult: Sendable {
    enum Outcome: Sendable, Equatable {
        /// A new generation serves.
        case applied(generation: UInt64)
        /// The files say what the serving generation says.
        case unchanged
        /// The old generation goes on; for people, with file and line.
        case failed(String)
    }
    var outcome: Outcome
    /// Lists that decide who gets in and whose files say something else than what serves; none unless it failed.
    var staleLists: [StaleList] = []
    /// Also when it failed: the fault is mended in one of these.
    var files: FileSnapshot
}

/// What the control loop steers. Every call comes on the control thread.
protocol ControlDelegate: AnyObject {
    /// Signals are obeyed, files are watched and `/ready` says so: whoever waits for the edge may be told.
    func becameReady()

    /// Begins to read and to build what the files say now, on a thread of its own, and has `ControlHandle.reloadPrepared`
    /// called when that is done, well or not.
    func beginReload(_ reason: ReloadReason)

    /// Puts in force what has been built, all or nothing. Once for each `beginReload`, unless the process ends meanwhile.
    func finishReload() -> ReloadResult

    func reopenLogs()

    /// Starts the program anew with the listening sockets of this process.
    func startSuccessor() throws(Successor.Failure) -> Successor

    /// Look whether the workers take turns; comes every `WorkerStallDetector.interval`.
    func watch(at now: Instant)

    /// Another process serves on the same sockets: `drain` follows.
    func successorServes()

    /// The settings in force now.
    var drainSettings: DrainConfig { get }

    /// Stop accepting and send GOAWAY. `ControlHandle.drained` is to be called when no connection is left.
    func drain()

    /// End every stream that is left with `UNAVAILABLE`; then as above.
    func endStreams()
}
