import MoongateConfig

/// Texts, to be asked whether one is among them.
final class LineList: SharedList {
    static let kind = SharedListKind.lines

    private let texts: PackedTexts

    /// - Throws: everything that is wrong with the file.
    init(_ bytes: [UInt8], path: String) throws(DiagnosticList) {
        try SharedListFaults.checkPresence(bytes, path, of: "texts")
        var builder = PackedTexts.Builder()
        var faults = SharedListFaults()
        let root = try EntryFile.read(bytes, path: path) { entry in
            guard case .string(let text) = entry.value else {
                return faults.add(entry.location, "every element must be a text", hint: "put quotation marks around it")
            }
            if !builder.append(text) { faults.add(entry.location, "the list is too large") }
        }
        guard root == .list || root == .nothing else {
            throw DiagnosticList([
                Diagnostic(
                    location: SourceLocation(file: path, line: 0, column: 0),
                    message: "the file must hold a list of texts")
            ])
        }
        try faults.check()
        texts = PackedTexts(builder)
    }

    var count: Int { texts.count }

    func contains(_ text: Bytes) -> Bool { texts.index(of: text) != nil }
}
