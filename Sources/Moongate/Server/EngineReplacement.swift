import Logging
import MoongateConfig

/// Replaces script engines of a worker that hold so much memory that their policies cannot run: what the scripts have filled goes with
/// the old engine. Exchanges in flight keep that one until they end; other policies are not touched.
///
/// Lives on the worker's thread.
final class EngineReplacement {
    /// Puts a new engine in force in the place of an old one.
    var adopt: ((_ old: PolicyEngine, _ new: PolicyEngine) -> Void)?

    private let loop: EventLoop
    private let cells: WorkerCells
    /// By the unit.
    private var cases: [ObjectIdentifier: Case] = [:]

    /// What is known of one policy.
    private final class Case {
        let unit: PolicyUnit
        var offences = Offences()
        /// The engine that is to be replaced.
        var old: PolicyEngine?
        var timer: OwnedTimer?

        init(_ unit: PolicyUnit) { self.unit = unit }
    }

    init(loop: EventLoop, cells: WorkerCells) {
        self.loop = loop
        self.cells = cells
    }

    /// These engines are in force from now on.
    func watch(_ engines: [PolicyEngine]) {
        let units = Set(engines.map { ObjectIdentifier($0.unit) })
        cases = cases.filter { units.contains($0.key) }
        for engine in engines {
            engine.exceeded = { [weak self, weak engine] in
                if let self, let engine { exceeded(engine) }
            }
        }
    }

    private func exceeded(_ engine: PolicyEngine) {
        let key = ObjectIdentifier(engine.unit)
        let item = cases[key] ?? Case(engine.unit)
        cases[key] = item
        item.old = engine
        begin(item, after: item.offences.pause(at: loop.now))
    }

    private func begin(_ item: Case, after pause: UInt64) {
        guard pause > 0 else { return order(item) }
        let timer =
            item.timer
            ?? OwnedTimer(loop) { [weak self, weak item] in
                if let self, let item { order(item) }
            }
        item.timer = timer
        timer.set(after: pause)
    }

    private func order(_ item: Case) {
        guard let old = item.old, let workshop = old.services.workshop else { return }
        let mailbox = loop.mailbox
        let this = LoopBound(self)
        let key = ObjectIdentifier(item.unit)
        let isTaken = workshop.make(item.unit, services: old.services) { outcome in
            mailbox.post { this.value?.finished(key, outcome) }
        }
        if !isTaken { begin(item, after: Offences.longest) }
    }

    private func finished(_ key: ObjectIdentifier, _ outcome: PolicyWorkshop.Outcome) {
        // A reload may have been faster, and its engine is new as well.
        guard let item = cases[key], let old = item.old else { return }
        switch outcome {
        case .success(let handover):
            guard let engine = handover.take(), engine.unit === item.unit else {
                return begin(item, after: Offences.longest)
            }
            item.old = nil
            cells.engineReplacements.add()
            old.services.logger.notice(
                "a new script engine is in force",
                metadata: ["policy": "\(item.unit.instances[0].name)", "worker": "\(old.services.worker)"])
            adopt?(old, engine)
        case .failure(let faults):
            old.services.logger.error(
                "the script engine cannot be replaced; the next try follows",
                metadata: [
                    "policy": "\(item.unit.instances[0].name)", "worker": "\(old.services.worker)",
                    "error": "\(faults)",
                ])
            begin(item, after: Offences.longest)
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
