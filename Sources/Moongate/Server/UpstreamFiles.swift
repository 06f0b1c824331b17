import MoongateConfig

/// Endpoints that stand in files of their own. They are files of the generation: a change makes a new one, to which policies,
/// connections and requests under way go over, and a fault leaves the old one in force.
enum UpstreamFiles {
    /// Fills in the endpoints of every upstream that has a file.
    ///
    /// - Throws: everything that is wrong with the files.
    static func read(_ config: inout Configuration, _ reader: FileSnapshotReader) throws(DiagnosticList) {
        var faults: [Diagnostic] = []
        for index in config.upstreams.indices {
            guard let file = config.upstreams[index].endpointsFile else { continue }
            do throws(DiagnosticList) {
                let bytes = try contents(of: file, reader, config.upstreams[index].name)
                config.upstreams[index].endpoints = try EndpointsFile.parse(utf8: bytes, file: file)
            } catch {
                faults += error.diagnostics
            }
        }
        guard faults.isEmpty else { throw DiagnosticList(faults) }
    }

    private static func contents(
        of file: String, _ reader: FileSnapshotReader, _ upstream: String
    ) throws(DiagnosticList) -> [UInt8] {
        do throws(FileFault) {
            return try reader.read(file, as: .endpoints)
        } catch {
            throw DiagnosticList([
                Diagnostic(
                    location: SourceLocation(file: file, line: 0, column: 0),
                    message: "upstream \(upstream): \(error.message)",
                    hint: error.hint ?? "endpoints_file is relative to the folder of the configuration")
            ])
        }
    }
}
