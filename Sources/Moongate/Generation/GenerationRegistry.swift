/// The generations that are alive: the one that serves, and those whose last exchanges have not ended.
final class GenerationRegistry: Sendable {
    struct Entry: Sendable {
        let generation: Generation
        /// When it was put in force, in milliseconds since 1970.
        let since: Int64
        let isServing: Bool
    }

    private struct Reference {
        weak var generation: Generation?
        let since: Int64
    }

    private let references = Locked<[Reference]>([])

    func publish(_ generation: Generation) {
        let since = Clock.unixMilliseconds()
        references.withLock { references in
            references.removeAll { $0.generation == nil }
            references.append(Reference(generation: generation, since: since))
        }
    }

    /// The newest first.
    func living() -> [Entry] {
        references.withLock { references in
            let newest = references.last?.since
            let alive = references.reversed().compactMap { reference in
                reference.generation.map { (generation: $0, since: reference.since) }
            }
            return alive.enumerated().map { index, item in
                Entry(generation: item.generation, since: item.since, isServing: index == 0 && newest != nil)
            }
        }
    }
}
