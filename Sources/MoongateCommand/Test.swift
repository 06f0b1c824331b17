import ArgumentParser
import Foundation
import Moongate
import MoongateConfig

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
    var paths: [AbsolutePath] = []

    @Option(help: "Run only tests whose name, with its groups, contains this text.")
    var filter: String?

    @Option(help: "How results are written.")
    var format = Format.human

    @Option(name: .customLong("path"), help: "A folder in which policies are looked for by name; may be repeated.")
    var policyPath: [AbsolutePath] = []

    @Flag(help: "Say which lines of the policies ran.")
    var coverage = false

    @Option(help: "Fail (exit code 1) if less than this per cent of a policy's lines ran; implies --coverage.")
    var coverageMin: Double?

    @Option(help: "CPU time in seconds that one test may use, policies left out.")
    var timeLimit = 10

    func validate() throws {
        if let coverageMin, !(0...100).contains(coverageMin) {
            throw ValidationError("--coverage-min takes 0 to 100.")
        }
        guard (1...3600).contains(timeLimit) else { throw ValidationError("--time-limit takes 1 to 3600 seconds.") }
    }

    func run() throws {
        var options = SpecRunner.Options()
        if !paths.isEmpty { options.paths = paths }
        options.filter = filter
        options.coverage = coverage || coverageMin != nil
        options.timeLimit = .seconds(timeLimit)
        options.policyPath = policyPath
        let report = SpecRunner.run(options) { result in
            if format == .human { Terminal.print(SpecOutput.line(result)) }
        }
        switch format {
        case .human: Terminal.write(SpecOutput.summary(report))
        case .tap: Terminal.write(SpecOutput.tap(report))
        case .junit: Terminal.write(SpecOutput.junit(report))
        }
        if format != .human {
            for fault in report.faults { Terminal.printError("\(fault)") }
        }
        if !report.faults.isEmpty { throw ExitCode(2) }
        if filter != nil && report.results.isEmpty {
            Terminal.printError("no test matches the filter")
            throw ExitCode(2)
        }
        let isCovered = tellCoverage(report)
        if report.failed > 0 || !isCovered { throw ExitCode(1) }
    }

    /// - Returns: whether it is as much as `--coverage-min` asks for.
    private func tellCoverage(_ report: SpecReport) -> Bool {
        guard let coverage = report.coverage else { return true }
        let text = SpecOutput.coverage(coverage)
        // Beside TAP and XML nothing else may stand on standard output.
        if format == .human {
            Terminal.write(text)
        } else {
            Terminal.printError(String(text.dropLast()))
        }
        let short = coverage.filter { $0.percent < coverageMin ?? 0 }
        for file in short {
            let percent = String(format: "%.1f", file.percent)
            Terminal.printError("\(file.path): \(percent) % is less than --coverage-min")
        }
        return short.isEmpty
    }
}
