/// What is gathered while one file is read: the faults, and the names that are defined and used.
struct Decoding {
    let file: String
    /// Absolute folder of the file; relative paths start here.
    let folder: String
    private(set) var diagnostics: [Diagnostic] = []
    var names = NameRegistry()

    init(file: String, folder: String) {
        self.file = file
        self.folder = folder
    }

    mutating func report(_ location: SourceLocation, _ message: String, hint: String? = nil) {
        diagnostics.append(Diagnostic(location: location, message: message, hint: hint))
    }

    /// Says of which kind the value is, never the value: what stands where something else belongs may be a secret.
    mutating func reportMismatch(_ node: YAMLNode, expected: String, hint: String? = nil) {
        let hint = hint ?? (node.isNull ? "give it a value or remove the key" : nil)
        report(node.location, "expected \(expected), found \(node.kind)", hint: hint)
    }

    /// Reports every use of a name that nothing defines.
    mutating func checkNames() {
        diagnostics += names.unresolved()
    }

    /// Reports a name that is defined twice.
    mutating func define(_ name: String, as kind: NameRegistry.Kind, at location: SourceLocation) {
        guard let first = names.define(name, as: kind, at: location) else { return }
        report(
            location, "\(kind.rawValue) \(quoted(name)) is defined more than once",
            hint: "it stands in line \(first.line) already")
    }
}
