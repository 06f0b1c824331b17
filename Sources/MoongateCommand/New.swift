import ArgumentParser
import Moongate
import MoongateConfig

/// `moongate new`: writes what one would otherwise copy.
struct New: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new", abstract: "Write the beginnings of something.", subcommands: [NewPolicy.self])
}

/// `moongate new policy`: a policy with its spec and README.
struct NewPolicy: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy", abstract: "Write a policy with its spec and README, to begin with.",
        discussion: "The policy passes moongate check and moongate test as it is. An existing folder is left alone.")

    @Argument(help: "The policy's name: lower-case letters, digits, - and _.")
    var name: String

    @Option(help: "The folder that policies lie in.")
    var directory: AbsolutePath = "policies"

    func run() throws {
        for file in try PolicyTemplate(name: name).write(to: directory) { Terminal.print("\(file)") }
    }
}
