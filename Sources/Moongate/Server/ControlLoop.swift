import Glibc
import Logging

/// The control thread: waits for signals, changed files and commands, and does one thing after the other.
final class ControlLoop {
    private let handle: ControlHandle
    private let signals: ProcessSignals
    private let watcher: FileWatcher
    private let metrics: ProcessMetrics
    private let log: Logger
    private let service = ServiceManager()
    /// A process that is to take over and is not ready yet.
    private var successor: Successor?
    private var children = ChildProcesses()
    /// Another process is the service now.
    private var isSucceeded = false
    private var debounce = Debounce()
    private var lifecycle = Lifecycle()
    private var files: FileSnapshot
    private var reloading = Reloading.idle
    /// When files are looked at, without inotify.
    private var nextLook: Instant = 0
    /// When workers are looked at.
    private var nextWatch: Instant = 0

    private enum Reloading {
        case idle
        /// - again: asked for meanwhile, by somebody who may have changed what had been read already.
        case preparing(ReloadReason, began: Instant, again: ReloadReason?)
    }

    /// - Parameters:
    ///   - files: what the first generation was made of.
    ///   - metrics: counts reloads. The delegate tells it of each generation itself.
    init(
        handle: ControlHandle, signals: ProcessSignals, watcher: FileWatcher, files: FileSnapshot,
        metrics: ProcessMetrics, log: Logger
    ) {
        self.handle = handle
        self.signals = signals
        self.watcher = watcher
        self.files = files
        self.metrics = metrics
        self.log = log
    }

    /// Runs on the calling thread until the process is to end.
    /// - Returns: how much time there is for that.
    func run(_ delegate: any ControlDelegate) -> ShutDown.Haste {
        watch(at: Clock.now())
        handle.set(readiness: .ready)
        delegate.becameReady()
        service.ready()
        while lifecycle.phase != .stopped {
            wait()
            for command in handle.takeCommands() { obey(command, delegate) }
            while let signal = signals.next() { obey(signal, delegate) }
            watchSuccessor(delegate)
            watchWorkers(delegate)
            look()
            if debounce.take(at: Clock.now()) { filesChanged(delegate) }
            perform(lifecycle.timePassed(at: Clock.now()), delegate)
        }
        return lifecycle.haste
    }

    private func wait() {
        let now = Clock.now()
        let look = watcher.file < 0 ? nextLook : nil
        let wake = [
            debounce.due, lifecycle.deadline, look, successor?.deadline, children.deadline, nextWatch,
        ].compactMap { $0 }
            .min()
        // Rounded up: waking just before the moment would spin.
        let milliseconds = wake.map { $0 > now ? Int32(min(($0 - now + 999_999) / 1_000_000, 60_000)) : 0 } ?? -1
        var waits = [handle.file, signals.file, watcher.file, successor?.file ?? -1].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        poll(&waits, nfds_t(waits.count), milliseconds)
    }

    private func obey(_ command: ControlHandle.Command, _ delegate: any ControlDelegate) {
        switch command {
        case .reload: reload(.command, delegate)
        case .reloadPrepared: finishReload(delegate)
        case .drained: perform(lifecycle.drained(), delegate)
        case .terminate: terminate(skipDelay: false, delegate)
        }
    }

    private func obey(_ signal: ProcessSignals.Signal, _ delegate: any ControlDelegate) {
        switch signal {
        case .reload:
            delegate.reopenLogs()
            reload(.signal, delegate)
        case .reopenLogs: delegate.reopenLogs()
        case .terminate: terminate(skipDelay: false, delegate)
        case .upgrade: upgrade(delegate)
        case .interrupt: terminate(skipDelay: true, delegate)
        // Every turn looks after the children.
        case .childEnded: break
        }
    }

    private func terminate(skipDelay: Bool, _ delegate: any ControlDelegate) {
        let settings = delegate.drainSettings
        perform(lifecycle.terminate(settings, skipDelay: skipDelay, at: Clock.now()), delegate)
    }

    // MARK: Upgrade

    private func upgrade(_ delegate: any ControlDelegate) {
        guard lifecycle.phase == .running, successor == nil else {
            let reason = successor == nil ? "shutting down" : "one is under way"
            return log.notice("no upgrade: \(reason)")
        }
        do throws(Successor.Failure) {
            let next = try delegate.startSuccessor()
            successor = next
            children.add(next.process)
            log.notice("upgrade: a new process starts", metadata: ["process": "\(next.process)"])
        } catch {
            reportUpgradeFailure(error.description)
        }
    }

    private func reportUpgradeFailure(_ reason: String) {
        log.error("upgrade failed, this process goes on", metadata: ["error": "\(reason)"])
    }

    private func watchSuccessor(_ delegate: any ControlDelegate) {
        let now = Clock.now()
        for end in children.look(at: now) { successor?.ended(end) }
        // Whoever ends the service means both processes.
        if let process = successor?.process, lifecycle.phase != .running { children.end(process, at: now) }
        guard let process = successor?.process, let progress = successor?.progress(at: now) else { return }
        switch progress {
        case .starting: return
        case .ready where lifecycle.phase == .running:
            service.succeeded(by: process)
            isSucceeded = true
            log.notice("upgrade: the new process serves", metadata: ["process": "\(process)"])
            delegate.successorServes()
            terminate(skipDelay: true, delegate)
        case .ready: break
        case .failed(let reason):
            children.end(process, at: now)
            reportUpgradeFailure(reason)
        }
        successor?.forget()
        successor = nil
    }

    // MARK: The end

    private func perform(_ actions: [Lifecycle.Action], _ delegate: any ControlDelegate) {
        for action in actions {
            switch action {
            case .announce:
                handle.set(readiness: .draining)
                metrics.drainingBegan()
                if !isSucceeded { service.stopping() }
                log.notice("shutting down; a second signal stops at once")
            case .drain:
                log.notice("draining: no new connections, streams may finish")
                delegate.drain()
            case .endStreams:
                log.warning("the grace time is over: ending the streams that are left")
                delegate.endStreams()
            case .stop: log.notice("stopped")
            }
        }
    }

    private func watchWorkers(_ delegate: any ControlDelegate) {
        let now = Clock.now()
        guard now >= nextWatch else { return }
        nextWatch = now &+ WorkerStallDetector.interval.nanoseconds
        delegate.watch(at: now)
    }

    /// Asks the watcher; without inotify only now and then.
    private func look() {
        let now = Clock.now()
        if watcher.file < 0 {
            guard now >= nextLook else { return }
            nextLook = now + FileWatcher.pollInterval.nanoseconds
        }
        if watcher.changed() { debounce.changed(at: now) }
    }

    private func filesChanged(_ delegate: any ControlDelegate) {
        // A reload that is under way looks at its files again when it is done.
        guard case .idle = reloading else { return }
        // What was reported may be what the last reload has read already.
        if files.changedPaths().isEmpty { return }
        reload(.fileChange, delegate)
    }

    private func reload(_ reason: ReloadReason, _ delegate: any ControlDelegate) {
        guard lifecycle.phase == .running else {
            log.notice("no reload: shutting down", metadata: ["reason": "\(reason.rawValue)"])
            return
        }
        if case .preparing(let first, let began, _) = reloading {
            reloading = .preparing(first, began: began, again: reason)
            return
        }
        debounce.forget()
        service.reloading()
        reloading = .preparing(reason, began: Clock.now(), again: nil)
        delegate.beginReload(reason)
    }

    private func finishReload(_ delegate: any ControlDelegate) {
        guard case .preparing(let reason, let began, let again) = reloading else { return }
        reloading = .idle
        guard lifecycle.phase == .running else {
            return log.notice("no reload: shutting down", metadata: ["reason": "\(reason.rawValue)"])
        }
        let result = delegate.finishReload()
        let now = Clock.now()
        let took = Double((now - began) / 1000) / 1000
        report(result, metadata: ["reason": "\(reason.rawValue)", "duration_ms": "\(took)"])
        service.ready()
        if case .failed = result.outcome {
            // The old generation's files stay watched: a mistake in the first file read hides all the others.
            files.merge(result.files)
        } else {
            files = result.files
        }
        watch(at: now)
        if let again { reload(again, delegate) }
    }

    private func report(_ result: ReloadResult, metadata: Logger.Metadata) {
        metrics.set(staleLists: result.staleLists.map(\.kind))
        switch result.outcome {
        case .applied(let generation):
            metrics.reloadSucceeded()
            handle.set(lastReloadFailure: nil)
            log.notice("reloaded", metadata: metadata.merging(["generation": "\(generation)"]) { $1 })
        case .unchanged:
            metrics.reloadFoundNothingNew()
            handle.set(lastReloadFailure: nil)
            log.info("nothing to reload: the files say what they said", metadata: metadata)
        case .failed(let reason):
            metrics.reloadFailed()
            handle.set(lastReloadFailure: reason, staleLists: result.staleLists)
            log.error(
                "reload refused, the old generation goes on",
                metadata: metadata.merging(["error": "\(reason)"]) { $1 })
            for list in result.staleLists {
                log.error("\(list.warning)", metadata: ["list": "\(list.kind.rawValue)", "file": "\(list.path)"])
            }
        }
    }

    private func watch(at now: Instant) {
        watcher.watch(files.paths)
        // Between reading and watching a file may have changed unseen.
        if !files.changedPaths().isEmpty { debounce.changed(at: now) }
    }
}
