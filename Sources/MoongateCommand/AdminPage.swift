import ArgumentParser
import Moongate
import MoongateConfig

/// Which edge a command asks, and how it shows the answer.
struct AdminPage: ParsableArguments {
    @Option(help: "Address and port of the admin listener, such as 127.0.0.1:9901.")
    var admin: String?

    @Option(name: [.short, .long], help: "The configuration file of the edge, which names the admin listener.")
    var config: AbsolutePath?

    @Flag(help: "Print JSON in place of a table.")
    var json = false

    func validate() throws {
        guard (admin == nil) != (config == nil) else {
            throw ValidationError("Say which edge: --admin host:port, or --config file.")
        }
    }

    /// Prints the page of `path`.
    func show(_ path: String) throws {
        do {
            let path = json ? path : path + "?format=text"
            Terminal.write(try AdminClient.get(path, from: try address()))
        } catch let faults as DiagnosticList {
            Terminal.printError(faults.description)
            throw ExitCode(2)
        } catch let failure as AdminClient.Failure {
            Terminal.printError(failure.description)
            throw ExitCode(1)
        }
    }

    private func address() throws -> String {
        if let admin { return admin }
        guard let config else { throw ValidationError("Say which edge: --admin host:port, or --config file.") }
        guard let address = try ConfigurationFile.read(config).admin?.address else {
            throw AdminClient.Failure("\(config) has no admin listener: add admin.address, or name one with --admin")
        }
        return address.host.contains(":") ? "[\(address.host)]:\(address.port)" : "\(address.host):\(address.port)"
    }
}
