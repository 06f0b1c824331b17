import MoongateConfig

/// The message of an error that the policy API raises.
///
/// It goes into logs, to `/policies` and, by way of scripts, to clients, and any argument may be a token that was passed by
/// mistake. So nothing can be put into a message but numbers, fixed texts and names that the edge knows already: the text of
/// an argument does not compile.
struct CallMessage: Sendable, Hashable, CustomStringConvertible, ExpressibleByStringInterpolation {
    private let text: String

    var description: String { text }

    init(stringLiteral text: StaticString) { self.text = text.description }

    init(stringInterpolation parts: StringInterpolation) { text = parts.text }

    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ""

        init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity) }

        mutating func appendLiteral(_ literal: StaticString) { text += literal.description }
        mutating func appendInterpolation(_ number: some BinaryInteger) { text += number.description }
        mutating func appendInterpolation(_ fixed: StaticString) { text += fixed.description }
        mutating func appendInterpolation(_ message: CallMessage) { text += message.text }
        mutating func appendInterpolation(_ fault: PathFault) { text += fault.text }
        mutating func appendInterpolation(_ reason: PathPattern.Reason) { text += reason.text }

        /// One of a few words.
        mutating func appendInterpolation<Word: RawRepresentable & CaseIterable>(_ word: Word)
        where Word.RawValue == String { text += word.rawValue }

        /// - Parameter limit: of what may be given.
        mutating func appendInterpolation(limit: Double) { text += "\(limit)" }

        /// - Parameter name: of something that exists: in the configuration, the program or the policy's own description.
        mutating func appendInterpolation(known name: String) { text += name }

        /// - Parameter names: as `known`, with commas between them.
        mutating func appendInterpolation(known names: [String]) { text += names.joined(separator: ", ") }

        /// - Parameter name: of a setting that the configuration gives a policy, in quotation marks. One that does not look like the
        ///   name of a setting is not told, since it may be a value.
        mutating func appendInterpolation(setting name: String) {
            let isName =
                (1...32).contains(name.utf8.count)
                && name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
            text += isName ? "\"\(name)\"" : "(its name is not shown)"
        }

        /// - Parameter name: of a user, in quotation marks, long ones cut. Names of users are no secrets: logs and upstreams get them.
        mutating func appendInterpolation(user name: String) { text += "\"\(name.prefix(64).visible())\"" }

        /// The words of the system.
        mutating func appendInterpolation(system error: SystemError) { text += error.description }
    }

    /// The message about a name that is none of those that are known, with the nearest of them.
    static func unknown(_ what: StaticString, _ name: some StringProtocol, among known: [String]) -> CallMessage {
        guard !known.isEmpty else { return "unknown \(what) (there is none)" }
        guard let hint = Spelling.suggestion(for: String(name), among: known) else {
            return "unknown \(what) (known: \(known: known))"
        }
        return "unknown \(what): \(known: hint) (known: \(known: known))"
    }
}
