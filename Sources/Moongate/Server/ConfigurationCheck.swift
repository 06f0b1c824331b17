import Logging
import MoongateConfig

/// `moongate check`: everything that `run` does with a configuration short of putting it in force.
public struct ConfigurationCheck {
    public let configuration: Configuration
    /// What does not keep the configuration from serving.
    public let warnings: [Diagnostic]

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
        } catch let faults as DiagnosticList {
            throw faults
        } catch {
            throw DiagnosticList([Diagnostic(location: .unknown, message: "\(error)")])
        }
    }
}
