import Yams

/// Puts what the YAML library says about a broken file into a diagnostic, with a hint for the usual mistakes.
enum YAMLSyntaxFault {
    static func diagnostic(for error: any Error, text: String, file: String) -> Diagnostic {
        guard let error = error as? YamlError else {
            return Diagnostic(location: SourceLocation(file: file, line: 0, column: 0), message: "not YAML")
        }
        let (problem, place, context) = parts(of: error, text: text)
        var message = problem
        if let context { message = "\(context.text), \(problem)" }
        return Diagnostic(
            location: SourceLocation(file: file, line: place.line, column: place.column),
            message: "not YAML: \(message)", hint: hint(problem: problem, line: lineText(text, number: place.line)))
    }

    /// Counted from 1; 0 means unknown.
    private typealias Place = (line: Int, column: Int)

    private static func parts(of error: YamlError, text: String) -> (String, Place, YamlError.Context?) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _):
            return (problem, (mark.line, mark.column), context)
        case .composer(_, let problem, let mark, _):
            let isSecond = problem == "but found another document"
            return (isSecond ? "the file holds more than one document" : problem, (mark.line, mark.column), nil)
        case .reader(let problem, let offset, _, _):
            return (problem, offset.map { place(at: $0, in: text) } ?? (0, 0), nil)
        case .memory:
            return ("out of memory", (0, 0), nil)
        default:
            return ("the text cannot be read", (0, 0), nil)
        }
    }

    /// - Parameter offset: in characters.
    private static func place(at offset: Int, in text: String) -> Place {
        var place = (line: 1, column: 1)
        for character in text.prefix(offset) {
            if character.isNewline {
                place = (place.line + 1, 1)
            } else {
                place.column += character.unicodeScalars.count
            }
        }
        return place
    }

    private static func lineText(_ text: String, number: Int) -> Substring {
        var lines = text[...]
        for _ in 1..<max(number, 1) {
            guard let end = lines.firstIndex(where: \.isNewline) else { return "" }
            lines = lines[lines.index(after: end)...]
        }
        return lines.prefix { !$0.isNewline }
    }

    private static func hint(problem: String, line: Substring) -> String? {
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
