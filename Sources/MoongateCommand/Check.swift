import ArgumentParser
import Foundation
import Moongate
import MoongateConfig

/// `moongate check`: is this configuration good, and if not, what is wrong with it.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration without running it.",
        discussion: """
            Every fault is written to standard error as file:line:column: message (hint: …). \
            The exit code is 0 if the configuration is good and 2 if it is not.
            """)

    @Option(name: [.short, .long], help: "The configuration file.")
    var config: String

    func run() throws {
        do throws(DiagnosticList) {
            let check = try ConfigurationCheck(path: config)
            for warning in check.warnings { complain("warning: \(warning)") }
            print("\(config): good: \(summary(of: check.configuration))")
        } catch {
            complain(error.description)
            throw ExitCode(2)
        }
    }

    private func summary(of configuration: Configuration) -> String {
        [
            counted(configuration.listeners.count, "listener"), counted(configuration.routes.count, "route"),
            counted(configuration.upstreams.count, "upstream"),
        ].joined(separator: ", ")
    }

    private func complain(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

    private func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}
