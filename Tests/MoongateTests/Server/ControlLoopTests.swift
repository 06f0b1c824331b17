import Glibc
import Logging
import MoongateConfig
import Testing

@testable import Moongate

@Suite struct ControlLoopTests {
    /// Runs a control loop over one file on a thread of its own and writes down what it does.
    private final class Fixture: Sendable {
        let folder: TemporaryFolder
        let handle: ControlHandle
        let process = ProcessMetrics()
        let events = Locked<[String]>([])
        /// What `/ready` said when the delegate heard that the edge is ready.
        let readinessWhenTold = Locked<Readiness?>(nil)
        private let thread = Locked<OSThread?>(nil)
        /// Reloads take until `release` is called.
        let holds: Bool

        var path: String { folder.file("moongate.yaml") }

        init(
            polling: Bool = false, drain: DrainConfig = .init(delay: .zero, grace: .seconds(10)),
            during: @escaping @Sendable (String, Fixture) -> Void = { _, _ in }, holds: Bool = false
        ) throws {
            self.holds = holds
            folder = try TemporaryFolder()
            try folder.write("moongate.yaml", "1")
            handle = try ControlHandle()
            let thread = try OSThread.start(name: "control") { [self] in
                run(polling: polling, drain: drain, during: during)
            }
            self.thread.withLock { $0 = thread }
            #expect(eventually { self.handle.readiness == .ready })
        }

        private func run(
            polling: Bool, drain: DrainConfig, during: @escaping @Sendable (String, Fixture) -> Void
        ) {
            guard let signals = try? ProcessSignals() else { return }
            let delegate = Delegate(fixture: self, drainSettings: drain, during: during)
            let loop = ControlLoop(
                handle: handle, signals: signals, watcher: FileWatcher(polling: polling),
                files: delegate.loadFirst(), metrics: process,
                log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            events.withLock { $0 = [] }
            _ = loop.run(delegate)
            note("ended")
        }

        func note(_ event: String) { events.withLock { $0.append(event) } }

        var seen: [String] { events.withLock { $0 } }

        func eventually(_ condition: () -> Bool) -> Bool {
            for _ in 0..<500 {
                if condition() { return true }
                usleep(10_000)
            }
            return false
        }

        func waitFor(_ event: String, count: Int = 1) -> Bool {
            eventually { seen.filter { $0 == event }.count >= count }
        }

        /// What was begun is ready.
        func release() { handle.reloadPrepared() }

        /// Stops the loop at once and waits for its thread.
        func stop() {
            handle.terminate()
            handle.terminate()
            thread.withLock { $0 }?.join()
        }
    }

    /// A file with `bad` in it is refused.
    private final class Delegate: ControlDelegate {
        let fixture: Fixture
        let drainSettings: DrainConfig
        let during: @Sendable (String, Fixture) -> Void
        var generation: UInt64 = 0

        init(
            fixture: Fixture, drainSettings: DrainConfig, during: @escaping @Sendable (String, Fixture) -> Void
        ) {
            self.fixture = fixture
            self.drainSettings = drainSettings
            self.during = during
        }

        func startSuccessor() throws(Successor.Failure) -> Successor { throw Successor.Failure(description: "none") }
        func successorServes() {}
        func watch(at now: Instant) {}

        private var prepared: ReloadResult?
        private var heldReason: ReloadReason?

        func loadFirst() -> FileSnapshot { load(.command).files }

        func beginReload(_ reason: ReloadReason) {
            guard !fixture.holds else {
                heldReason = reason
                return note("begin \(reason.rawValue)")
            }
            prepared = load(reason)
            fixture.handle.reloadPrepared()
        }

        func finishReload() -> ReloadResult {
            if let heldReason { prepared = load(heldReason) }
            return prepared ?? ReloadResult(outcome: .failed("nothing was prepared"), files: FileSnapshot())
        }

        private func load(_ reason: ReloadReason) -> ReloadResult {
            let attempt = FileSnapshot.consistent {
                String(decoding: try $0.read(fixture.path, as: .configuration), as: UTF8.self)
            }
            defer { note("reload \(reason.rawValue) \((try? attempt.result.get()) ?? "-")") }
            guard let text = try? attempt.result.get(), !text.contains("bad") else {
                return ReloadResult(outcome: .failed("line 1"), files: attempt.snapshot)
            }
            generation += 1
            return ReloadResult(outcome: .applied(generation: generation), files: attempt.snapshot)
        }

        func becameReady() { fixture.readinessWhenTold.withLock { $0 = fixture.handle.readiness } }
        func reopenLogs() { note("reopen") }
        func drain() { note("drain") }
        func endStreams() { note("end streams") }

        private func note(_ event: String) {
            fixture.note(event)
            during(event, fixture)
        }
    }

    @Test func readinessIsThereBeforeItIsAnnounced() throws {
        let fixture = try Fixture()
        defer { fixture.stop() }
        #expect(fixture.eventually { fixture.readinessWhenTold.withLock { $0 } != nil })
        #expect(fixture.readinessWhenTold.withLock { $0 } == .ready)
    }

    @Test(arguments: [false, true])
    func changedFileReloads(polling: Bool) throws {
        let fixture = try Fixture(polling: polling)
        defer { fixture.stop() }
        try fixture.folder.replace("moongate.yaml", "22")
        #expect(fixture.waitFor("reload file_change 22"))
        try fixture.folder.replace("moongate.yaml", "333")
        #expect(fixture.waitFor("reload file_change 333"))
        #expect(fixture.process.values.reloadSuccesses == 2)
    }

    @Test func burstOfChangesIsOneReload() throws {
        let fixture = try Fixture()
        defer { fixture.stop() }
        for round in 0..<5 {
            try fixture.folder.replace("moongate.yaml", "\(round)")
            usleep(10_000)
        }
        #expect(fixture.waitFor("reload file_change 4"))
        usleep(300_000)
        #expect(fixture.seen.count == 1)
    }

    @Test func failureIsCountedRememberedAndMendedByTheNextChange() throws {
        let fixture = try Fixture()
        defer { fixture.stop() }
        try fixture.folder.write("moongate.yaml", "bad")
        #expect(fixture.eventually { fixture.handle.lastReloadFailure == "line 1" })
        #expect(fixture.process.values.lastReloadFailed)
        try fixture.folder.remove("moongate.yaml")
        #expect(fixture.waitFor("reload file_change -"))
        try fixture.folder.write("moongate.yaml", "good")
        #expect(fixture.eventually { fixture.handle.lastReloadFailure == nil })
        let values = fixture.process.values
        #expect(values.reloadFailures == 2 && values.reloadSuccesses == 1 && !values.lastReloadFailed)
    }

    @Test func changeDuringAReloadIsNotLost() throws {
        let fixture = try Fixture(during: { event, fixture in
            // The delegate has read the file when this runs, and the loop has not looked at it again yet.
            if event == "reload command first" {
                _ = try? fixture.folder.write("moongate.yaml", "second")
            }
        })
        defer { fixture.stop() }
        try fixture.folder.write("moongate.yaml", "first")
        fixture.handle.reload()
        #expect(fixture.waitFor("reload file_change second"))
    }

    @Test func signalsAreObeyedWhileAGenerationIsMade() throws {
        let fixture = try Fixture(
            during: { event, _ in
                // A signal to this very thread, the control thread, which has only begun the reload.
                if event == "begin command" { raise(SIGUSR1) }
            }, holds: true)
        defer { fixture.stop() }
        fixture.handle.reload()
        #expect(fixture.waitFor("reopen"))
        #expect(fixture.seen == ["begin command", "reopen"])
        // Whoever asks meanwhile may have changed what was read already: the files are read once more.
        fixture.handle.reload()
        try fixture.folder.write("moongate.yaml", "2")
        fixture.release()
        #expect(fixture.waitFor("begin command", count: 2))
        fixture.release()
        #expect(fixture.waitFor("reload command 2"))
    }

    @Test func terminationDoesNotWaitForAGenerationThatIsBeingMade() throws {
        let fixture = try Fixture(
            during: { event, fixture in if event == "drain" { fixture.handle.drained() } }, holds: true)
        fixture.handle.reload()
        #expect(fixture.waitFor("begin command"))
        fixture.handle.terminate()
        #expect(fixture.waitFor("ended"))
        #expect(fixture.seen == ["begin command", "drain", "ended"])
        fixture.stop()
    }

    @Test func hangUpReloadsAtOnceAndReopensLogs() throws {
        let fixture = try Fixture(during: { event, _ in
            // A signal to this very thread, the control thread.
            if event == "reload command 1" { raise(SIGHUP) }
        })
        defer { fixture.stop() }
        // The first raise happened before the loop ran and is taken by it.
        #expect(fixture.waitFor("reload signal 1"))
        #expect(fixture.seen.prefix(2) == ["reopen", "reload signal 1"])
    }

    @Test func terminationDrainsAndEndsWhenTheStreamsAreGone() throws {
        let fixture = try Fixture(during: { event, fixture in if event == "drain" { fixture.handle.drained() } })
        fixture.handle.terminate()
        #expect(fixture.waitFor("ended"))
        #expect(fixture.seen == ["drain", "ended"])
        #expect(fixture.handle.readiness == .draining)
        fixture.stop()
    }

    @Test func graceThatIsOverEndsTheStreams() throws {
        let fixture = try Fixture(
            drain: DrainConfig(delay: .milliseconds(50), grace: .milliseconds(50)),
            during: { event, fixture in if event == "end streams" { fixture.handle.drained() } })
        fixture.handle.terminate()
        #expect(fixture.eventually { fixture.handle.readiness == .draining })
        #expect(fixture.waitFor("ended"))
        #expect(fixture.seen == ["drain", "end streams", "ended"])
        fixture.stop()
    }

    @Test func noReloadWhileShuttingDown() throws {
        let fixture = try Fixture(during: { event, _ in
            if event == "drain" { raise(SIGHUP) }
        })
        fixture.handle.terminate()
        #expect(fixture.waitFor("reopen"))
        fixture.stop()
        #expect(fixture.seen == ["drain", "reopen", "ended"])
    }
}

@Suite struct ProcessSignalsTests {
    @Test func signalsAreReadLikeAFile() throws {
        let seen = Locked<[ProcessSignals.Signal?]>([])
        try OSThread.start(name: "signals") {
            ProcessSignals.takeOver()
            guard let signals = try? ProcessSignals() else { return }
            for signal in [SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGCHLD] {
                raise(signal)
                let next = signals.next()
                seen.withLock { $0.append(next) }
            }
            let nothing = signals.next()
            seen.withLock { $0.append(nothing) }
        }.join()
        #expect(seen.withLock { $0 } == [.reload, .terminate, .interrupt, .reopenLogs, .upgrade, .childEnded, nil])
    }

    @Test func fileLimitIsRaisedToTheHardOne() throws {
        let raised = try FileLimit.raise()
        #expect(raised == FileLimit.soft())
        var limits = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
        #expect(limits.rlim_cur == limits.rlim_max)
    }
}
