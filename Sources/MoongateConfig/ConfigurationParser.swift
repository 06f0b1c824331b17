/// Reads the text of a configuration file into a `Configuration`, or says everything that is wrong with it.
public enum ConfigurationParser {
    /// Bytes; a larger file is refused.
    public static var largestFile: Int { YAMLLimits.bytes }

    /// Reads configuration text. No file is opened.
    ///
    /// - Parameters:
    ///   - text: the YAML text.
    ///   - file: its path, for messages and as the base of relative paths.
    /// - Throws: every fault found, in the order of the file.
    public static func parse(_ text: String, file: AbsolutePath) throws(DiagnosticList) -> Configuration {
        var decoding = Decoding(file: file.text, folder: file.folder)
        let (root, faults) = YAMLReader.read(text, file: file.text)
        var configuration: Configuration?
        if let root {
            configuration = ValueType<Configuration>.configuration.read(root, &decoding)
            decoding.checkNames()
        } else if faults.isEmpty {
            let start = SourceLocation(file: file.text, line: 1, column: 1)
            decoding.report(start, "the file is empty", hint: "it needs at least \"listeners\"")
        }
        let diagnostics = (faults + decoding.diagnostics).sorted(by: precedes)
        guard let configuration, diagnostics.isEmpty else { throw DiagnosticList(diagnostics) }
        return configuration
    }

    /// Reads configuration from the bytes of a file, which have to be UTF-8.
    public static func parse(
        utf8 bytes: some Collection<UInt8>, file: AbsolutePath
    ) throws(DiagnosticList) -> Configuration {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw DiagnosticList([invalidText(bytes, file: file.text)])
        }
        return try parse(text, file: file)
    }

    static func invalidText(_ bytes: some Collection<UInt8>, file: String) -> Diagnostic {
        // Decoding with repair shows the first bad byte as U+FFFD, unless the file has that character in earnest.
        var location = SourceLocation(file: file, line: 1, column: 1)
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if scalar == "\u{FFFD}" { break }
            location.column += 1
            if scalar == "\n" {
                location.line += 1
                location.column = 1
            }
        }
        return Diagnostic(location: location, message: "the file is not UTF-8 text")
    }

    private static func precedes(_ a: Diagnostic, _ b: Diagnostic) -> Bool {
        (a.location.line, a.location.column) < (b.location.line, b.location.column)
    }
}
