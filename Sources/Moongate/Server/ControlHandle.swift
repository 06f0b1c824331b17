/// What other threads may say to the control thread and ask it.
final class ControlHandle: Sendable {
    enum Command: Sendable, Equatable {
        case reload
        case reloadPrepared
        case drained
        case terminate
    }

    private struct State {
        var commands: [Command] = []
        var readiness = Readiness.starting
        var lastFailure: String?
        var staleLists: [StaleList] = []
        var areAllStalled = false
        var liveness = Liveness.live
    }

    private let state = Locked(State())
    private let bell: Waker

    /// - Throws: `SystemError` when the system has no descriptor left.
    init() throws(SystemError) { bell = try Waker() }

    /// Reloads as soon as the control thread is free.
    func reload() { post(.reload) }

    /// A reload has been prepared, see `ControlDelegate.beginReload`.
    func reloadPrepared() { post(.reloadPrepared) }

    /// Every worker has closed its last connection.
    func drained() { post(.drained) }

    /// As SIGTERM.
    func terminate() { post(.terminate) }

    /// For `/ready`.
    var readiness: Readiness {
        state.withLock { $0.readiness == .ready && $0.areAllStalled ? .stalled : $0.readiness }
    }

    /// For `/live`.
    var liveness: Liveness { state.withLock { $0.liveness } }

    /// Why the newest files are not the ones that serve; `nil` when they are.
    var lastReloadFailure: String? { state.withLock { $0.lastFailure } }

    /// Lists of a refused reload that serve although their files say something else.
    var staleLists: [StaleList] { state.withLock { $0.staleLists } }

    private func post(_ command: Command) {
        state.withLock { $0.commands.append(command) }
        bell.ring()
    }
}

/// The control thread's side.
extension ControlHandle {
    /// Readable when there are commands.
    var file: Int32 { bell.file }

    func takeCommands() -> [Command] {
        bell.answer()
        return state.withLock { state in
            defer { state.commands = [] }
            return state.commands
        }
    }

    func set(readiness: Readiness) { state.withLock { $0.readiness = readiness } }

    /// What the watchdog has seen.
    func set(areAllStalled: Bool, liveness: Liveness) {
        state.withLock { state in
            state.areAllStalled = areAllStalled
            state.liveness = liveness
        }
    }

    func set(lastReloadFailure: String?, staleLists: [StaleList] = []) {
        state.withLock { state in
            state.lastFailure = lastReloadFailure
            state.staleLists = staleLists
        }
    }
}
