import ArgumentParser
import Moongate
import MoongateConfig

/// `moongate run`: the edge itself.
struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run the edge.",
        discussion: """
            Ends with code 0 after SIGTERM and a drain, with 2 if the configuration cannot be used. SIGHUP reloads; so
            does every change of the configuration, its policies and certificates.
            """)

    @Option(name: [.short, .long], help: "The configuration file.")
    var config: AbsolutePath

    func run() throws { throw ExitCode(Server.run(path: config)) }
}
