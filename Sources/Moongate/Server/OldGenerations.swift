import Logging
import MoongateConfig

/// The generations with script engines of their own that a worker has replaced and some stream still uses.
///
/// Endless streams would keep any number of them: beyond the configured number or age the oldest ones are told of, or
/// their streams are ended. Lives on the worker's thread.
final class OldGenerations {
    /// Ends the streams of a generation and gives their number.
    var endStreams: ((WorkerGeneration) -> Int)?

    private struct Entry {
        weak var generation: WorkerGeneration?
        let replaced: Instant
        /// What has been done about it since it was too old, or one too many.
        var settled: ReloadConfig.WhenExceeded?
    }

    private static let interval: UInt64 = 10_000_000_000
    private let loop: EventLoop
    private let cells: WorkerCells
    /// Oldest first.
    private var entries: [Entry] = []
    private var limits = ReloadConfig()
    private var timer: OwnedTimer?

    init(loop: EventLoop, cells: WorkerCells) {
        self.loop = loop
        self.cells = cells
        timer = OwnedTimer(loop) { [weak self] in self?.check() }
    }

    /// `new` is in force from now on. Generations that share all engines are one here.
    func replaced(_ old: WorkerGeneration, by new: WorkerGeneration) {
        limits = new.shared.config.reload
        if old.policies?.hasRetired(beside: new.policies) == true {
            entries.append(Entry(generation: old, replaced: loop.now))
        }
        // Streams that end with this turn of the loop are not counted.
        timer?.set(after: 1_000_000)
    }

    private func check() {
        entries.removeAll { $0.generation == nil }
        cells.oldGenerations.set(UInt64(entries.count))
        let tooMany = max(0, entries.count - limits.maxGenerations)
        let age = UInt64(clamping: limits.maxAge.nanoseconds)
        // One that was only told of ends where a later reload wants that.
        for index in entries.indices
        where entries[index].settled != .reset && entries[index].settled != limits.whenExceeded {
            let isTooOld = age > 0 && loop.now &- entries[index].replaced >= age
            guard index < tooMany || isTooOld, let generation = entries[index].generation else { continue }
            entries[index].settled = limits.whenExceeded
            settle(generation, isTooOld ? "too old" : "too many")
        }
        guard !entries.isEmpty else { return }
        timer?.set(after: age > 0 ? min(age, OldGenerations.interval) : OldGenerations.interval)
    }

    private func settle(_ generation: WorkerGeneration, _ reason: String) {
        let isReset = limits.whenExceeded == .reset
        let ended = isReset ? endStreams?(generation) ?? 0 : 0
        cells.retiredStreams.add(UInt64(clamping: ended))
        generation.policies?.leases.first?.engine.services.logger.warning(
            isReset
                ? "ended the streams that kept an old script engine alive"
                : "streams keep an old script engine alive: end them, or set reload.when_exceeded to reset",
            metadata: ["generation": "\(generation.number)", "reason": "\(reason)", "ended": "\(ended)"])
    }
}
