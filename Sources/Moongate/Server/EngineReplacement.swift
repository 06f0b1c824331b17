import Logging
import MoongateConfig

/// Replaces a worker's script engine after a policy wanted more memory than it may hold: what its scripts have filled
/// goes with the old engine. Exchanges in flight keep that one until they end; the other policies never stop.
///
/// Lives on the worker's thread.
final class EngineReplacement {
    /// Puts a new engine in force.
    var adopt: ((PolicyHost) -> Void)?

    private let loop: EventLoop
    private let cells: WorkerCells
    /// By the file's path.
    private var offences: [String: Offences] = [:]
    /// The engine that is to be replaced.
    private var old: PolicyHost?
    private var timer: OwnedTimer?

    init(loop: EventLoop, cells: WorkerCells) {
        self.loop = loop
        self.cells = cells
    }

    /// Another engine is in force from now on.
    /// - Parameter isFresh: it comes with new policies, so that what was held against the old ones is forgotten.
    func watch(_ host: PolicyHost?, isFresh: Bool) {
        if isFresh { offences = [:] }
        old = nil
        timer?.clear()
        host?.exceeded = { [weak self, weak host] file in
            if let self, let host { exceeded(host, file) }
        }
    }

    private func exceeded(_ host: PolicyHost, _ file: Int) {
        let path = host.program.files[file].path
        let pause = offences[path, default: Offences()].pause(at: loop.now)
        // One that is under way already serves this policy, too.
        guard old == nil else { return }
        old = host
        begin(after: pause)
    }

    private func begin(after pause: UInt64) {
        guard pause > 0 else { return order() }
        let timer = self.timer ?? OwnedTimer(loop) { [weak self] in self?.order() }
        self.timer = timer
        timer.set(after: pause)
    }

    private func order() {
        guard let old, let workshop = old.services.workshop else { return }
        let mailbox = loop.mailbox
        let this = LoopBound(self)
        let isTaken = workshop.make(old.program, services: old.services) { outcome in
            mailbox.post { this.value?.finished(outcome) }
        }
        if !isTaken { begin(after: Offences.longest) }
    }

    private func finished(_ outcome: PolicyWorkshop.Outcome) {
        // A reload was faster: its engine is new as well.
        guard let old else { return }
        switch outcome {
        case .success(let handover):
            guard let host = handover.take(), host.program === old.program else { return }
            cells.engineReplacements.add()
            old.services.logger.notice(
                "a new script engine is in force", metadata: ["worker": "\(old.services.worker)"])
            adopt?(host)
        case .failure(let faults):
            old.services.logger.error(
                "the script engine cannot be replaced; the next try follows",
                metadata: ["worker": "\(old.services.worker)", "error": "\(faults)"])
            begin(after: Offences.longest)
        }
    }
}

/// How often a policy went over its limit of late, and how long it has to wait for it: not at all the first time, then
/// 1 s, 2 s, 4 s, … at most a minute. After ten good minutes it is forgiven.
struct Offences {
    static let longest: UInt64 = 60_000_000_000
    private static let first: UInt64 = 1_000_000_000
    private static let memory: UInt64 = 600_000_000_000

    private var last: Instant?
    private var pause: UInt64 = 0

    /// The pause after one more offence, in nanoseconds.
    mutating func pause(at now: Instant) -> UInt64 {
        let isRepeated = last.map { now &- $0 < Offences.memory &+ pause } ?? false
        if !isRepeated { pause = 0 } else { pause = pause == 0 ? Offences.first : min(pause * 2, Offences.longest) }
        last = now
        return pause
    }
}
