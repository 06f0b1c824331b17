/// A file with the endpoints of one upstream: a list, in YAML or JSON, whose elements are written as those of `endpoints`.
public enum EndpointsFile {
    /// - Throws: everything that is wrong with the file, in its order. A list without endpoints is wrong, too: a file that was
    ///   emptied by mistake must not take the service away.
    public static func parse(
        utf8 bytes: [UInt8], file: String
    ) throws(DiagnosticList) -> [UpstreamConfig.Endpoint] {
        let text = try DataFile.text(bytes, path: file)
        let (root, faults) = YAMLReader.read(text, file: file)
        var decoding = Decoding(file: file, folder: "")
        var endpoints: [UpstreamConfig.Endpoint]?
        if let root {
            endpoints = ValueType<[UpstreamConfig.Endpoint]>.endpoints.read(root, &decoding)
        } else if faults.isEmpty {
            decoding.report(
                SourceLocation(file: file, line: 1, column: 1), "the file is empty",
                hint: "it needs a list of endpoints")
        }
        let diagnostics = faults + decoding.diagnostics
        guard let endpoints, diagnostics.isEmpty else { throw DiagnosticList(diagnostics) }
        return endpoints
    }
}
