import Synchronization

/// The key set that stands at one path of one upstream. All workers and all generations that name it share it, so that one
/// fetch serves them all, and it lives as long as some verifier names it.
///
/// Keys belong to the servers that they came from (`UpstreamTarget`): an upstream whose configuration names other servers
/// has no keys until they have been fetched from there. The last good keys stay whatever happens to later fetches; how
/// long they may be used then is up to each verifier.
final class FetchedKeySet: Sendable {
    struct Name: Hashable, Sendable {
        var upstream: String
        var path: String
    }

    /// Whether to fetch.
    enum Turn: Equatable {
        /// The caller fetches; `finish` follows with this ticket.
        case fetch(ticket: UInt64)
        /// Not yet, or somebody else does.
        case notDue
    }

    /// What a verifier checks tokens by.
    struct Keys: Sendable {
        let keys: [JWTKey]
        /// When the fetch that brought them began.
        let fetchedAt: Instant
    }

    /// Nanoseconds after which a fetch that has not ended is taken for lost.
    static let longestFetch: UInt64 = 6_000_000_000
    /// Nanoseconds between the beginnings of two fetches that tokens with unknown keys cause.
    static let leastPause: UInt64 = 10_000_000_000
    /// Nanoseconds after which a fetch that failed is tried again, unless the next one comes sooner anyway.
    static let retryPause: UInt64 = 5_000_000_000
    /// Targets whose keys are kept: a reload that is taken back finds the keys that it left.
    static let mostTargets = 2

    private struct Slot {
        let target: UpstreamTarget
        var keys: Keys
    }

    private enum Attempt {
        case none
        /// `pause`: nanoseconds until the next one, if it fails.
        case running(ticket: UInt64, UpstreamTarget, since: Instant, pause: UInt64)
    }

    private struct State {
        /// The one used last comes first.
        var slots: [Slot] = []
        var attempt = Attempt.none
        /// The target that the following three are about.
        var target: UpstreamTarget?
        var startedAt: Instant?
        /// No fetch begins before.
        var notBefore: Instant = 0
        /// A token names a key that is not in the set.
        var isWanted = false
        var lastTicket: UInt64 = 0

        mutating func turn(to target: UpstreamTarget) {
            guard self.target != target else { return }
            self.target = target
            (startedAt, notBefore, isWanted) = (nil, 0, false)
        }

        func isRunning(_ target: UpstreamTarget, now: Instant) -> Bool {
            guard case .running(_, let running, let since, _) = attempt, running == target else { return false }
            return now < since &+ FetchedKeySet.longestFetch
        }

        func isDue(_ target: UpstreamTarget, refresh: UInt64?, now: Instant) -> Bool {
            guard now >= notBefore else { return false }
            guard let slot = slots.first(where: { $0.target == target }) else { return true }
            if isWanted, now >= (startedAt ?? 0) &+ FetchedKeySet.leastPause { return true }
            guard let refresh else { return false }
            return now >= slot.keys.fetchedAt &+ refresh
        }
    }

    let name: Name
    private let changes = Atomic<UInt64>(0)
    private let state = Locked(State())

    init(_ name: Name) { self.name = name }

    /// Counts changes of the keys.
    @inline(__always) var version: UInt64 { changes.load(ordering: .acquiring) }

    /// The last good keys of a target; `nil`: they are not known.
    func keys(of target: UpstreamTarget) -> Keys? {
        state.withLock { state in
            guard let index = state.slots.firstIndex(where: { $0.target == target }) else { return nil }
            let slot = state.slots.remove(at: index)
            state.slots.insert(slot, at: 0)
            return slot.keys
        }
    }

    // MARK: Fetching

    /// Asks for the right to fetch.
    /// - Parameter refresh: nanoseconds from one fetch to the next.
    func begin(_ target: UpstreamTarget, refresh: UInt64, now: Instant) -> Turn {
        state.withLock { state in
            state.turn(to: target)
            guard !state.isRunning(target, now: now), state.isDue(target, refresh: refresh, now: now) else {
                return .notDue
            }
            state.lastTicket += 1
            state.attempt = .running(
                ticket: state.lastTicket, target, since: now, pause: min(refresh, FetchedKeySet.retryPause))
            state.startedAt = now
            state.isWanted = false
            return .fetch(ticket: state.lastTicket)
        }
    }

    /// The fetch of this ticket has ended.
    /// - Parameters:
    ///   - keys: `nil`: it brought no key set; the keys stay as they are.
    ///   - target: what the upstream stands for now.
    /// - Returns: whether the keys were taken: those of a fetch that was given up, or that began before the upstream was
    ///   changed, are not.
    func finish(_ ticket: UInt64, _ keys: [JWTKey]?, target: UpstreamTarget?, now: Instant) -> Bool {
        state.withLock { state in
            guard case .running(let running, let asked, let since, let pause) = state.attempt, running == ticket else {
                return false
            }
            state.attempt = .none
            guard asked == target else { return false }
            guard let keys else {
                state.notBefore = now &+ pause
                return false
            }
            state.notBefore = 0
            state.slots.removeAll { $0.target == asked }
            state.slots.insert(Slot(target: asked, keys: Keys(keys: keys, fetchedAt: since)), at: 0)
            state.slots.removeLast(max(0, state.slots.count - FetchedKeySet.mostTargets))
            changes.wrappingAdd(1, ordering: .releasing)
            return true
        }
    }

    /// A token cannot be checked by the keys that are there: they are fetched before their time, but not more often than
    /// once in `leastPause`, since anybody can make such tokens.
    /// - Returns: whether a fetch is under way or due, for which it may be worth to wait.
    func want(_ target: UpstreamTarget, now: Instant) -> Bool {
        state.withLock { state in
            state.turn(to: target)
            if state.isRunning(target, now: now) { return true }
            let wasWanted = state.isWanted
            state.isWanted = true
            let isDue = state.isDue(target, refresh: nil, now: now)
            state.isWanted = wasWanted || isDue
            return isDue
        }
    }
}

/// The fetched key sets of the process, by upstream and path.
final class FetchedKeySets: Sendable {
    /// Sets that may live at a time.
    static let limit = 1024

    private struct Reference {
        weak var set: FetchedKeySet?
    }

    private let references = Locked<[FetchedKeySet.Name: Reference]>([:])

    /// The living set of this name, or a new one. The caller keeps it. `nil`: there are too many.
    func set(_ name: FetchedKeySet.Name) -> FetchedKeySet? {
        references.withLock { references in
            if let set = references[name]?.set { return set }
            if references.count >= FetchedKeySets.limit { references = references.filter { $0.value.set != nil } }
            guard references.count < FetchedKeySets.limit else { return nil }
            let set = FetchedKeySet(name)
            references[name] = Reference(set: set)
            return set
        }
    }

    /// Sets in use; forgets the others.
    var count: Int {
        references.withLock { references in
            references = references.filter { $0.value.set != nil }
            return references.count
        }
    }
}
