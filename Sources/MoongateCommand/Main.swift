import ArgumentParser
import Moongate

/// Where the program begins.
@main
enum Main {
    static func main() {
        Server.openStandardDescriptors()
        MoongateCommand.main()
    }
}

/// The command line.
struct MoongateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "moongate",
        abstract: "A gRPC edge proxy scripted with Lua policies.",
        version: "0.1.0",
        subcommands: [
            Run.self, Check.self, Explain.self, Policies.self, Upstreams.self, HashPassword.self, New.self, Schema.self,
            Test.self, Types.self,
        ])
}
