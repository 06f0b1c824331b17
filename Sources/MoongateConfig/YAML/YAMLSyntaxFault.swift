/// The complaint of libyaml about a broken text.
struct YAMLSyntaxFault: Error {
    enum Place {
        case mark(YAMLMark)
        /// In bytes.
        case offset(Int)
        case unknown
    }

    var problem: String
    var context: String?
    var place: Place

    /// For people, with a hint for the usual mistakes.
    func diagnostic(in text: UnsafeBufferPointer<UInt8>, file: String) -> Diagnostic {
        let mark = mark(in: text)
        let message = context.map { "\($0), \(problem)" } ?? problem
        return Diagnostic(
            location: SourceLocation(file: file, line: mark?.line ?? 0, column: mark?.column ?? 0),
            message: "not YAML: \(message)",
            hint: hint(line: mark.map { YAMLSyntaxFault.line($0.line, of: text) } ?? ""))
    }

    private func mark(in text: UnsafeBufferPointer<UInt8>) -> YAMLMark? {
        switch place {
        case .mark(let mark): return mark
        case .unknown: return nil
        case .offset(let offset):
            var mark = YAMLMark(line: 1, column: 1)
            for character in String(decoding: text.prefix(offset), as: UTF8.self) {
                if character.isNewline {
                    mark = YAMLMark(line: mark.line + 1, column: 1)
                } else {
                    mark.column += character.unicodeScalars.count
                }
            }
            return mark
        }
    }

    private static func line(_ number: Int, of text: UnsafeBufferPointer<UInt8>) -> Substring {
        var lines = String(decoding: text, as: UTF8.self)[...]
        for _ in 1..<max(number, 1) {
            guard let end = lines.firstIndex(where: \.isNewline) else { return "" }
            lines = lines[lines.index(after: end)...]
        }
        return lines.prefix { !$0.isNewline }
    }

    private func hint(line: Substring) -> String? {
        if problem.contains("cannot start any token") && line.contains("\t") { return "indent with spaces, not tabs" }
        if problem.contains("expected alphabetic or numeric character") && line.contains("*") {
            return "put quotation marks around text that begins with *, such as \"*.example.com\""
        }
        if problem.contains("undefined alias") {
            return "put quotation marks around text that begins with *, or define the anchor with & before"
        }
        if problem.contains("mapping values are not allowed") {
            return "check the indentation, and quote text that holds \": \""
        }
        if problem.contains("could not find expected ':'") { return "a key is followed by \": \"" }
        if problem.contains("unexpected end of stream") { return "a quotation mark is not closed" }
        return nil
    }
}
