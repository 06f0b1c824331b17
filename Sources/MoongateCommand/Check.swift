import ArgumentParser
import Moongate
import MoongateConfig

/// `moongate check`: is this configuration good, and if not, what is wrong with it.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration, or files of policies, without running them.",
        discussion: """
            Every fault is written to standard error as file:line:column: message (hint: …). Policies are looked at, \
            too: methods and functions that do not exist, names that nobody defines or uses, and what is left of Lua \
            5.1. These are warnings. The exit code is 0 if everything is good and 2 if it is not.
            """)

    @Option(name: [.short, .long], help: "The configuration file.")
    var config: AbsolutePath?

    @Argument(help: "Lua files to look at: policies, and specs (_spec.lua).")
    var files: [AbsolutePath] = []

    @Flag(help: "Warnings are faults.")
    var strict = false

    func validate() throws {
        guard config != nil || !files.isEmpty else {
            throw ValidationError("Name a configuration (--config) or files.")
        }
    }

    func run() throws {
        var warnings = 0
        do throws(DiagnosticList) {
            for file in files { warnings += try check(file: file) }
            if let config { warnings += try check(configuration: config) }
        } catch {
            Terminal.printError(error.description)
            throw ExitCode(2)
        }
        if strict && warnings > 0 { throw ExitCode(2) }
    }

    /// - Returns: how many warnings there were.
    private func check(file: AbsolutePath) throws(DiagnosticList) -> Int {
        let found = try PolicyFileLint.check(path: file)
        guard found.errors.isEmpty else { throw DiagnosticList(found.errors) }
        return warn(found.warnings)
    }

    private func check(configuration path: AbsolutePath) throws(DiagnosticList) -> Int {
        let check = try ConfigurationCheck(path: path)
        let count = warn(check.warnings)
        Terminal.print("\(path): good: \(summary(of: check.configuration))")
        return count
    }

    private func warn(_ warnings: [Diagnostic]) -> Int {
        for warning in warnings { Terminal.printError("warning: \(warning)") }
        return warnings.count
    }

    private func summary(of configuration: Configuration) -> String {
        [
            counted(configuration.listeners.count, "listener"), counted(configuration.routes.count, "route"),
            counted(configuration.upstreams.count, "upstream"),
        ].joined(separator: ", ")
    }

    private func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}
