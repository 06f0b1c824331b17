/// What workers share of all upstreams, by name: one for the process.
final class SharedUpstreams: Sendable {
    private struct Reference {
        weak var upstream: SharedUpstream?
    }

    /// Reaches the health monitor.
    let bell = HealthWaker()
    private let metrics: MetricsRegistry.Family
    private let references = Locked<[String: Reference]>([:])

    /// - Parameter metrics: the counters of upstreams.
    init(_ metrics: MetricsRegistry.Family) { self.metrics = metrics }

    /// The living one of this name, or a new one. The caller keeps it.
    func upstream(_ name: String) -> SharedUpstream {
        let entry = metrics.entry(name)
        return references.withLock { references in
            if let upstream = references[name]?.upstream { return upstream }
            let upstream = SharedUpstream(name: name, metrics: entry, bell: bell)
            references[name] = Reference(upstream: upstream)
            return upstream
        }
    }

    /// Those in use, by name; forgets the others.
    func living() -> [SharedUpstream] {
        references.withLock { references in
            references = references.filter { $0.value.upstream != nil }
            return references.values.compactMap(\.upstream).sorted { $0.name < $1.name }
        }
    }
}
