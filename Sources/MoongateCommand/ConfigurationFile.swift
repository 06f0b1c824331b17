import Foundation
import MoongateConfig

/// The configuration file, for commands that look at it without loading what it names.
enum ConfigurationFile {
    /// - Throws: everything that is wrong with it.
    static func read(_ path: AbsolutePath) throws(DiagnosticList) -> Configuration {
        guard let bytes = FileManager.default.contents(atPath: path.text) else {
            let place = SourceLocation(file: path.text, line: 0, column: 0)
            throw DiagnosticList([
                Diagnostic(
                    location: place, message: "the file cannot be read", hint: "name the configuration with --config")
            ])
        }
        return try ConfigurationParser.parse(utf8: Array(bytes), file: path)
    }
}
