/// Reads a file of data for policies: users, lists of addresses, look-up tables.
///
/// `.yaml`, `.yml` and `.json` hold one YAML value (JSON is YAML); every other file is a list of its lines.
public enum DataFile {
    /// Throws everything that is wrong with the file.
    /// - Parameters:
    ///   - bytes: the contents, which have to be UTF-8.
    ///   - path: of the file, for its ending and for messages.
    public static func parse(_ bytes: [UInt8], path: String) throws(DiagnosticList) -> SettingValue {
        let isStructured = [".yaml", ".yml", ".json"].contains { path.lowercased().hasSuffix($0) }
        return isStructured ? try yaml(bytes, path: path) : try lines(bytes, path: path)
    }

    /// One YAML value.
    public static func yaml(_ bytes: [UInt8], path: String) throws(DiagnosticList) -> SettingValue {
        try parseYAML(try text(bytes, path: path), path: path)
    }

    /// The lines without blanks at both ends, without empty lines and without comments, which begin with `#`.
    public static func lines(_ bytes: [UInt8], path: String) throws(DiagnosticList) -> SettingValue {
        lines(of: try text(bytes, path: path))
    }

    static func text(_ bytes: [UInt8], path: String) throws(DiagnosticList) -> String {
        let start = SourceLocation(file: path, line: 1, column: 1)
        guard bytes.count <= YAMLLimits.bytes else {
            throw DiagnosticList([Diagnostic(location: start, message: "the file is larger than 16 MiB")])
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw DiagnosticList([ConfigurationParser.invalidText(bytes, file: path)])
        }
        return text
    }

    /// An empty file is an empty table.
    private static func parseYAML(_ text: String, path: String) throws(DiagnosticList) -> SettingValue {
        let (root, faults) = YAMLReader.read(text, file: path)
        var decoding = Decoding(file: path, folder: "")
        let value = root.flatMap { SettingValue($0, &decoding) }
        let diagnostics = faults + decoding.diagnostics
        guard diagnostics.isEmpty else { throw DiagnosticList(diagnostics) }
        return value ?? .table([])
    }

    /// Without blanks at both ends, without empty lines and without comments, which begin with `#`.
    private static func lines(of text: String) -> SettingValue {
        let lines = text.split(whereSeparator: \.isNewline).map { line in
            line.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed()
        }
        return .list(lines.filter { !$0.isEmpty && $0.first != "#" }.map { .string(String($0)) })
    }
}
