import ArgumentParser
import Foundation
import Moongate
import MoongateConfig

/// Which edge a command asks, and how it shows the answer.
struct AdminPage: ParsableArguments {
    @Option(help: "Address and port of the admin listener, such as 127.0.0.1:9901.")
    var admin: String?

    @Option(name: [.short, .long], help: "The configuration file of the edge, which names the admin listener.")
    var config: String?

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
            FileHandle.standardOutput.write(Data(try AdminClient.get(path, from: try address())))
        } catch let faults as DiagnosticList {
            complain(faults.description)
            throw ExitCode(2)
        } catch let failure as AdminClient.Failure {
            complain(failure.description)
            throw ExitCode(1)
        }
    }

    private func address() throws -> String {
        if let admin { return admin }
        let file = config ?? ""
        guard let bytes = FileManager.default.contents(atPath: file) else {
            throw AdminClient.Failure("\(file) cannot be read")
        }
        let parsed = try ConfigurationParser.parse(utf8: Array(bytes), file: absolutePath(file))
        guard let address = parsed.admin?.address else {
            throw AdminClient.Failure("\(file) has no admin listener: add admin.address, or name one with --admin")
        }
        return address.host.contains(":") ? "[\(address.host)]:\(address.port)" : "\(address.host):\(address.port)"
    }

    private func complain(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
}
