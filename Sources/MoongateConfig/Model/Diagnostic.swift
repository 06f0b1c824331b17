/// One fault in a configuration or policy file, for people: where, what, and what to do about it.
public struct Diagnostic: Error, Sendable, Hashable, CustomStringConvertible {
    public var location: SourceLocation
    public var message: String
    public var hint: String?
    public init(location: SourceLocation, message: String, hint: String? = nil) {
        self.location = location
        self.message = message
        self.hint = hint
    }

    /// `file:line:column: message (hint: …)`
    public var description: String {
        var text = location.file
        if location.line > 0 { text += ":\(location.line)" }
        if location.column > 0 { text += ":\(location.column)" }
        text += text.isEmpty ? message : ": \(message)"
        if let hint { text += " (hint: \(hint))" }
        return text.visible(keepingLines: true)
    }
}

/// Everything found wrong in one go; never empty.
public struct DiagnosticList: Error, Sendable, Hashable, CustomStringConvertible {
    public var diagnostics: [Diagnostic]
    public init(_ diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }
    public var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}
