import Logging
import MoongateConfig

/// `moongate check`: everything that `run` does with a configuration short of putting it in force.
public struct ConfigurationCheck {
    public let configuration: Configuration
    /// What does not keep the configuration from serving.
    public let warnings: [Diagnostic]
    /// The files of its policies, each once.
    ///
    /// `firstLine` is where the source begins in its file: more than 1 for a source within the configuration.
    public let policyFiles: [(path: String, source: [UInt8], firstLine: Int)]

    /// - Parameter path: of the configuration file.
    /// - Throws: everything that is wrong, as far as it can be seen at once.
    public init(path: AbsolutePath) throws(DiagnosticList) {
        // What policies log while they load is for a running edge only.
        let parts = ServerPlan.Parts(
            path: path, ticketKeys: TicketKeys(),
            logger: { _ in Logger(label: "check", factory: { _ in SwiftLogNoOpLogHandler() }) }, verifier: nil,
            workshop: nil)
        let attempt = FileSnapshot.consistent { reader in
            try ServerPlan(parts, reader)
        }
        do {
            let plan = try attempt.result.get()
            configuration = plan.candidate.generation.config
            warnings = plan.candidate.warnings
            policyFiles = plan.candidate.generation.program.files.map {
                ($0.path, $0.source, $0.firstLine)
            }
        } catch let faults as DiagnosticList {
            throw faults
        } catch {
            throw DiagnosticList([Diagnostic(location: .unknown, message: "\(error)")])
        }
    }
}
