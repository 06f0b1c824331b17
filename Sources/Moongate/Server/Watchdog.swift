import CMoongate
import Glibc
import Logging
import MoongateConfig

/// Looks from outside whether the workers take turns, and does what can be done about one that hangs: it gets no connections,
/// those that wait for it go to others, and logs, metrics, `/ready` and `/live` say so. Lives on the control thread.
final class Watchdog {
    private struct Watched {
        let thread: WorkerThread
        let cells: WorkerCells
        var detector = WorkerStallDetector()
    }

    private let registry: MetricsRegistry
    private let distributor: ConnectionDistributor
    private let handle: ControlHandle
    private let log: Logger
    /// Ends the process at once, with what the logs have to say.
    private let abort: () -> Void
    private var workers: [Watched]
    private var lastLook: Instant
    private var reload: PendingReload?
    /// The last one; one at a time is looked at, so that reloads in short order do not put off what is said of the first.
    private var lastReload: PendingReload?

    init(
        _ workers: [WorkerThread], _ registry: MetricsRegistry, _ distributor: ConnectionDistributor,
        _ handle: ControlHandle, log: Logger, abort: @escaping () -> Void
    ) {
        self.registry = registry
        self.distributor = distributor
        self.handle = handle
        self.log = log
        self.abort = abort
        self.workers = workers.enumerated().map { Watched(thread: $1, cells: registry.worker($0)) }
        lastLook = Clock.now()
    }

    /// - Parameter program: the policies in force, for the names of those that hang.
    func look(at now: Instant, _ config: WatchdogConfig, _ program: PolicyProgram) {
        let elapsed = now - min(now, lastLook)
        lastLook = now
        for index in workers.indices { look(at: index, elapsed, config, program) }
        relieve()
        let longest = workers.map(\.detector.stuck).max() ?? 0
        handle.set(
            areAllStalled: workers.allSatisfy(\.detector.isStalled),
            liveness: longest >= config.live.nanoseconds ? .stalled : .live)
        reportReload(at: now)
        guard let limit = config.abort?.nanoseconds, longest >= limit else { return }
        log.critical("a worker hangs: aborting", metadata: ["stuck_ms": "\(longest / 1_000_000)"])
        abort()
    }

    private func look(at index: Int, _ elapsed: UInt64, _ config: WatchdogConfig, _ program: PolicyProgram) {
        let activity = workers[index].thread.activity
        let pulse = activity.pulse
        let isBlocked = workers[index].detector.isSameTurn(pulse) && activity.isBlocked
        let before = workers[index].detector.stuck
        let reading = WorkerStallDetector.Reading(pulse: pulse, cpuTime: activity.cpuTime, isBlocked: isBlocked)
        switch workers[index].detector.look(reading, elapsed: elapsed, limit: config.stall.nanoseconds) {
        case .none: return
        case .stalled:
            workers[index].cells.stalls.add()
            workers[index].cells.isStalled.set(1)
            distributor.passOver(true, worker: index)
            var fields: Logger.Metadata = [
                "worker": "\(index)", "stuck_ms": "\(workers[index].detector.stuck / 1_000_000)",
                "state": isBlocked ? "blocked" : "running",
            ]
            if let place = activity.scriptPlace { fields.merge(Watchdog.fields(of: place, program)) { $1 } }
            log.error("a worker hangs: it gets no new connections", metadata: fields)
        case .recovered:
            workers[index].cells.isStalled.set(0)
            distributor.passOver(false, worker: index)
            log.notice(
                "a worker goes on", metadata: ["worker": "\(index)", "stuck_ms": "\(before / 1_000_000)"])
        }
    }

    private static func fields(of place: ThreadActivity.ScriptPlace, _ program: PolicyProgram) -> Logger.Metadata {
        let names = program.units.filter { $0.file.chunkName == place.hookFile }.flatMap(\.instances).map(\.name)
        var fields: Logger.Metadata = ["file": "\(place.file)", "line": "\(place.line)"]
        if !names.isEmpty { fields["policy"] = "\(names.joined(separator: ", "))" }
        return fields
    }

    /// Gives connections that wait for a worker that hangs to those that do not.
    private func relieve() {
        guard workers.contains(where: { !$0.detector.isStalled }) else { return }
        for (index, worker) in workers.enumerated() where worker.detector.isStalled {
            distributor.distributeAgain(worker.thread.takeBack(), from: index)
        }
    }

    // MARK: Reloads

    /// A generation on its way to the workers.
    private struct PendingReload {
        let generation: UInt64
        let due: Instant
        /// Workers that had not taken it by then; `nil`: it was not looked at.
        var late: [Int]?
    }

    /// How long workers may take to put a generation in force.
    private static let reloadPatience = Duration.seconds(5)

    /// The workers have been handed a generation, and are to say when they have taken it (`ThreadActivity.took`).
    func expect(generation: UInt64, at now: Instant) {
        let pending = PendingReload(generation: generation, due: now &+ Watchdog.reloadPatience.nanoseconds)
        lastReload = pending
        if reload == nil { reload = pending }
    }

    private func reportReload(at now: Instant) {
        guard var pending = reload, now >= pending.due || pending.late != nil else { return }
        let missing = workers.indices.filter { workers[$0].thread.activity.generation < pending.generation }
        let fields: Logger.Metadata = ["generation": "\(pending.generation)"]
        if let late = pending.late {
            for worker in late where !missing.contains(worker) {
                log.notice(
                    "a worker has taken the generation late", metadata: fields.merging(["worker": "\(worker)"]) { $1 })
            }
        } else if !missing.isEmpty {
            let names = missing.map { "worker-\($0)" }.joined(separator: ", ")
            log.warning(
                "workers have not taken the new generation", metadata: fields.merging(["workers": "\(names)"]) { $1 })
        }
        pending.late = missing
        reload = missing.isEmpty ? lastReload.flatMap { $0.generation > pending.generation ? $0 : nil } : pending
    }
}
