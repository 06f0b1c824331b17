import MoongateConfig
import MoongateLint

/// Looks at sources of policies without running them.
enum PolicySourceLint {
    /// Faults keep a source from being of use; warnings may be wrong.
    struct Result {
        var faults: [Diagnostic] = []
        var warnings: [Diagnostic] = []
    }

    /// - Parameters:
    ///   - firstLine: where the source begins in the file.
    ///   - isLoaded: the script engine has taken it, so that neither its syntax nor its hooks are in question.
    static func check(
        _ source: [UInt8], path: String, firstLine: Int, api: LintAPI, isLoaded: Bool = false
    ) -> Result {
        var result = Result()
        for finding in PolicyLint.check(source, api: api) {
            let place = SourceLocation(file: path, line: finding.line + firstLine - 1, column: 0)
            let diagnostic = Diagnostic(location: place, message: finding.message, hint: finding.hint)
            switch finding.severity {
            case .warning: result.warnings.append(diagnostic)
            case .fault: result.faults.append(diagnostic)
            case .syntax: if !isLoaded { result.faults.append(diagnostic) }
            }
        }
        return result
    }

    /// The files of policies that have been loaded, each once.
    static func check(_ program: PolicyProgram) -> Result {
        var result = Result()
        for file in program.units.map(\.file) {
            let found = check(
                file.source, path: file.path, firstLine: file.firstLine, api: PolicyAPI.lint, isLoaded: true)
            result.faults += found.faults
            result.warnings += found.warnings
        }
        return result
    }
}
