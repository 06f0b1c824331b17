import CMoongate
import Logging
import MoongateConfig

/// What start-up makes of the first configuration.
struct ServerPlan {
    /// What start-up needs before it reads anything.
    struct Parts {
        /// Of the configuration file.
        let path: AbsolutePath
        let ticketKeys: TicketKeys
        /// Gets what policies say while they load, and later.
        let logger: (MetricsRegistry) throws -> Logger
        let verifier: PasswordVerifier?
        let workshop: PolicyWorkshop?
    }

    let registry: MetricsRegistry
    let loader: GenerationLoader
    let candidate: GenerationLoader.Candidate

    init(_ parts: Parts, _ reader: FileSnapshotReader) throws {
        // The number of workers is in the file, and the counters' size depends on it.
        let bytes = try GenerationLoader.read(parts.path, reader)
        let config = try ConfigurationParser.parse(utf8: bytes, file: parts.path)
        registry = MetricsRegistry(workers: config.workers ?? ServerPlan.cores())
        loader = GenerationLoader(
            path: parts.path, registry: registry, ticketKeys: parts.ticketKeys, logger: try parts.logger(registry),
            verifier: parts.verifier, workshop: parts.workshop)
        candidate = try loader.load(reader, number: 1, previous: nil)
    }

    /// The cores that the process may run on, at least one.
    static func cores() -> Int { max(1, Int(mg_usable_cores())) }
}
