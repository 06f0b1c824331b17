/// Reads a file of data for policies: users, lists of addresses, look-up tables.
///
/// `.yaml`, `.yml` and `.json` hold one YAML value (JSON is YAML); every other file is a list of its lines.
public enum DataFile {
    /// Throws everything that is wrong with the file.
    /// - Parameters:
    ///   - bytes: the contents, which have to be UTF-8.
    ///   - path: of the file, for its ending and for messages.
    public static func parse(_ bytes: [UInt8], path: String) throws(DiagnosticList) -> SettingValue {
        isStructured(path) ? try yaml(bytes, path: path) : try lines(bytes, path: path)
    }

    /// One YAML value.
    public static func yaml(_ bytes: [UInt8], path: String) throws(DiagnosticList) -> SettingValue {
        try parseYAML(try text(bytes, path: path), path: path)
    }

    /// The lines without blanks at both ends, without empty lines and without comments, which begin with `#`.
    public static func lines(_ bytes: [UInt8], path: String) throws(DiagnosticList) -> SettingValue {
        _ = try text(bytes, path: path)
        var lines: [SettingValue] = []
        bytes.withUnsafeBufferPointer { bytes in
            for line in DataLines(bytes) { lines.append(.string(line.text)) }
        }
        return .list(lines)
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

    static func isStructured(_ path: String) -> Bool {
        [".yaml", ".yml", ".json"].contains { path.lowercased().hasSuffix($0) }
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
}
