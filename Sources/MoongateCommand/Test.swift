import ArgumentParser
import Foundation
import Moongate

/// `moongate test`: runs the specs of policies.
struct Test: ParsableCommand {
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case human
        case tap
        case junit
    }

    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Run specs of policies.",
        discussion: """
            Runs every file that ends in _spec.lua, on the handle that serves real requests, without a network. \
            The exit code is 0 if all tests pass, 1 if one fails, and 2 if something could not be run.
            """)

    @Argument(help: "Spec files, or folders to look for them in. Default: this folder.")
    var paths: [String] = []

    @Option(help: "Run only tests whose name, with its groups, contains this text.")
    var filter: String?

    @Option(help: "How results are written.")
    var format = Format.human

    @Option(name: .customLong("path"), help: "A folder in which policies are looked for by name; may be repeated.")
    var policyPath: [String] = []

    @Option(help: "CPU time in seconds that one test may use, policies left out.")
    var timeLimit = 10

    func validate() throws {
        guard (1...3600).contains(timeLimit) else { throw ValidationError("--time-limit takes 1 to 3600 seconds.") }
    }

    func run() throws {
        var options = SpecRunner.Options()
        options.paths = paths
        options.filter = filter
        options.timeLimit = .seconds(timeLimit)
        options.policyPath = policyPath.map(absolutePath)
        let report = SpecRunner.run(options) { result in
            if format == .human { print(SpecOutput.line(result)) }
        }
        switch format {
        case .human: print(SpecOutput.summary(report), terminator: "")
        case .tap: print(SpecOutput.tap(report), terminator: "")
        case .junit: print(SpecOutput.junit(report), terminator: "")
        }
        if format != .human {
            for fault in report.faults { FileHandle.standardError.write(Data("\(fault)\n".utf8)) }
        }
        if !report.faults.isEmpty { throw ExitCode(2) }
        if filter != nil && report.results.isEmpty {
            FileHandle.standardError.write(Data("no test matches the filter\n".utf8))
            throw ExitCode(2)
        }
        if report.failed > 0 { throw ExitCode(1) }
    }
}
