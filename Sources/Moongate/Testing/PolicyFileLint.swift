import Foundation
import MoongateConfig
import MoongateLint

/// Looks at files of policies and specs without running them.
public enum PolicyFileLint {
    /// - Parameter firstLine: where the source begins in the file.
    /// - Returns: what is wrong, and what may be.
    public static func check(
        _ source: [UInt8], path: String, firstLine: Int = 1
    ) -> (errors: [Diagnostic], warnings: [Diagnostic]) {
        var api = PolicyAPI.lint
        if path.hasSuffix("_spec.lua") { api.globals.formUnion(SpecPrelude.globals) }
        let findings = PolicyLint.check(source, api: api)
        let diagnostic = { (finding: LintFinding) in
            Diagnostic(
                location: SourceLocation(file: path, line: finding.line + firstLine - 1, column: 0),
                message: finding.message, hint: finding.hint)
        }
        return (findings.filter(\.isError).map(diagnostic), findings.filter { !$0.isError }.map(diagnostic))
    }

    /// - Throws: that the file cannot be read.
    public static func check(
        path: AbsolutePath
    ) throws(DiagnosticList) -> (errors: [Diagnostic], warnings: [Diagnostic]) {
        guard let data = FileManager.default.contents(atPath: path.text) else {
            let place = SourceLocation(file: path.given, line: 0, column: 0)
            throw DiagnosticList([Diagnostic(location: place, message: "the file cannot be read")])
        }
        return check(Array(data), path: path.given)
    }

    /// The files of a configuration's policies.
    public static func warnings(_ check: ConfigurationCheck) -> [Diagnostic] {
        check.policyFiles.flatMap { PolicyFileLint.check($0.source, path: $0.path, firstLine: $0.firstLine).warnings }
    }
}
