import Foundation
import MoongateConfig

/// Looks at files of policies and specs without running them.
public enum PolicyFileLint {
    /// - Parameter firstLine: where the source begins in the file.
    /// - Returns: what is wrong, and what may be.
    public static func check(
        _ source: [UInt8], path: String, firstLine: Int = 1
    ) -> (errors: [Diagnostic], warnings: [Diagnostic]) {
        let isSpec = path.hasSuffix("_spec.lua")
        var api = PolicyAPI.lint
        // Definitions for editors, as `moongate types` writes them, are never loaded.
        api.needsHooks = !isSpec && !source.starts(with: "---@meta".utf8)
        if isSpec { api.globals.formUnion(SpecPrelude.globals) }
        let result = PolicySourceLint.check(source, path: path, firstLine: firstLine, api: api)
        return (result.faults, result.warnings)
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
}
