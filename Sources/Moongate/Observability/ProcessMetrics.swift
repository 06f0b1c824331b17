import Glibc
import Synchronization

/// Counters of the whole process, written by the control thread and off the way of requests.
final class ProcessMetrics: Sendable {
    private let reloadSuccesses = Atomic<UInt64>(0)
    private let reloadsUnchanged = Atomic<UInt64>(0)
    private let reloadFailures = Atomic<UInt64>(0)
    private let lastReloadFailed = Atomic<Bool>(false)
    private let lastSuccess = Atomic<Int64>(0)
    private let currentGeneration = Atomic<UInt64>(0)
    private let operationalLogDrops = Atomic<UInt64>(0)
    private let accessLogFailures = Atomic<UInt64>(0)
    private let namesResolved = Atomic<UInt64>(0)
    private let nameFailures = Atomic<UInt64>(0)
    private let draining = Atomic<Bool>(false)
    private let staleLists = Locked<[SharedListKind: Int]>([:])

    /// Seconds since the epoch at which the process began, from the kernel.
    let startTime: Double = ProcessStatus.startTime()

    /// A new generation serves. The first one, at start-up, is no reload.
    func generationPublished(_ number: UInt64) {
        currentGeneration.store(number, ordering: .relaxed)
        lastSuccess.store(Int64(time(nil)), ordering: .relaxed)
    }

    func reloadSucceeded() {
        reloadSuccesses.add(1, ordering: .relaxed)
        lastReloadFailed.store(false, ordering: .relaxed)
    }

    /// Files were touched, but the serving generation is what they say.
    func reloadFoundNothingNew() {
        reloadsUnchanged.add(1, ordering: .relaxed)
        lastReloadFailed.store(false, ordering: .relaxed)
    }

    func reloadFailed() {
        reloadFailures.add(1, ordering: .relaxed)
        lastReloadFailed.store(true, ordering: .relaxed)
    }

    /// Lists whose files say something else than what serves.
    func set(staleLists kinds: [SharedListKind]) {
        let counts = kinds.reduce(into: [SharedListKind: Int]()) { $0[$1, default: 0] += 1 }
        staleLists.withLock { $0 = counts }
    }

    func staleLists(of kind: SharedListKind) -> Int { staleLists.withLock { $0[kind] ?? 0 } }

    /// The process is on its way out.
    var isDraining: Bool { draining.load(ordering: .relaxed) }

    func drainingBegan() { draining.store(true, ordering: .relaxed) }

    /// Lines that did not reach standard error.
    @Sendable func operationalLogLost(_ lines: UInt64) { operationalLogDrops.add(lines, ordering: .relaxed) }

    /// Lines that the access log's destination refused, for example because the disk is full.
    @Sendable func accessLogLost(_ lines: UInt64) { accessLogFailures.add(lines, ordering: .relaxed) }

    /// A question to DNS or the hosts file was answered.
    func nameResolved() { namesResolved.add(1, ordering: .relaxed) }

    func nameFailed() { nameFailures.add(1, ordering: .relaxed) }

    struct Values {
        var reloadSuccesses: UInt64
        var reloadsUnchanged: UInt64
        var reloadFailures: UInt64
        var lastReloadFailed: Bool
        /// Seconds since the epoch; 0 before the first generation.
        var lastSuccess: Int64
        var generation: UInt64
        var operationalLogDrops: UInt64
        var accessLogFailures: UInt64
        var namesResolved: UInt64
        var nameFailures: UInt64
    }

    var values: Values {
        Values(
            reloadSuccesses: reloadSuccesses.load(ordering: .relaxed),
            reloadsUnchanged: reloadsUnchanged.load(ordering: .relaxed),
            reloadFailures: reloadFailures.load(ordering: .relaxed),
            lastReloadFailed: lastReloadFailed.load(ordering: .relaxed),
            lastSuccess: lastSuccess.load(ordering: .relaxed),
            generation: currentGeneration.load(ordering: .relaxed),
            operationalLogDrops: operationalLogDrops.load(ordering: .relaxed),
            accessLogFailures: accessLogFailures.load(ordering: .relaxed),
            namesResolved: namesResolved.load(ordering: .relaxed), nameFailures: nameFailures.load(ordering: .relaxed))
    }
}
