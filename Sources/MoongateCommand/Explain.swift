import ArgumentParser
import Moongate
import MoongateConfig

/// `moongate explain`: where a request goes, and why.
struct Explain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Show which route a request takes and why, its policies, upstreams and settings.",
        discussion: """
            Reads the configuration file, or asks a running edge by its admin listener. The request is a gRPC call \
            unless its headers say otherwise. Policies are not run: one that changes the request may change its route. \
            The exit code is 2 if the configuration cannot be used.
            """)

    @Option(name: [.short, .long], help: "The configuration file.")
    var config: AbsolutePath?

    @Option(help: "Address and port of the admin listener of a running edge, such as 127.0.0.1:9901.")
    var admin: String?

    @Option(help: "The host that the client asks for, with a port or without.")
    var host: String

    @Option(help: "The path: /package.Service/Method.")
    var path: String

    @Option(help: "The HTTP method.")
    var method = "POST"

    @Option(name: .customLong("header"), help: "A header, name=value; may be given several times.")
    var headers: [String] = []

    @Option(help: "The listener. Default: every one.")
    var listener: String?

    @Flag(help: "Print JSON in place of a text.")
    var json = false

    func validate() throws {
        guard (admin == nil) != (config == nil) else {
            throw ValidationError("Say by what: --config file, or --admin host:port.")
        }
        for header in headers where ExplainedRequest.header(header) == nil {
            throw ValidationError("\(header) is no header: write name=value.")
        }
        guard path.hasPrefix("/") || path == "*" else { throw ValidationError("The path begins with a slash.") }
    }

    func run() throws {
        do {
            Terminal.write(try answer())
        } catch let faults as DiagnosticList {
            Terminal.printError(faults.description)
            throw ExitCode(2)
        } catch let failure as ExplainReport.Failure {
            Terminal.printError(failure.message)
            throw ExitCode(2)
        } catch let failure as AdminClient.Failure {
            Terminal.printError(failure.description)
            throw ExitCode(1)
        }
    }

    private func answer() throws -> [UInt8] {
        let request = ExplainedRequest(
            method: method, host: host, path: path, headers: headers.compactMap(ExplainedRequest.header),
            listener: listener)
        if let admin {
            return try AdminClient.get("/explain?\(request.query)\(json ? "" : "&format=text")", from: admin)
        }
        guard let config else { throw ValidationError("Say by what: --config file, or --admin host:port.") }
        let report = try ExplainReport(request, try ConfigurationFile.read(config))
        return Array((json ? report.json.text() + "\n" : report.text).utf8)
    }
}
