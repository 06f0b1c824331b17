import MoongateConfig

/// A path of the configuration in the form in which the paths of requests are compared with it.
struct PathPattern {
    /// Parts that a pattern spells out, and that are then no matter of another reading.
    struct Spelling: OptionSet, BitwiseCopyable {
        let rawValue: UInt8
        static let parameters = Spelling(rawValue: 1)
        static let encodedDelimiters = Spelling(rawValue: 2)
    }

    /// Why no request can have a path.
    enum Reason: Equatable {
        case refused(PathFault)
        case emptySegments
        case literalStar

        /// For people.
        var text: String {
            switch self {
            case .refused(let fault): fault.text
            case .emptySegments: "it has empty segments"
            case .literalStar: "a star always stands for other characters"
            }
        }
    }

    struct Fault: Error, Equatable {
        let reason: Reason
        let message: String
        let hint: String?

        fileprivate init(_ text: String, _ reason: Reason, _ hint: String?) {
            self.reason = reason
            message = "no request can have the path \"\(text)\": \(reason.text)"
            self.hint = hint
        }
    }

    /// The rules that requests follow, and a route's exceptions from them.
    struct Rules {
        var mode = PathMode.strict
        var allowsParameters = false
        var keepsSlash = false

        init() {}

        /// - Parameters:
        ///   - listeners: the names of all of them.
        ///   - lenient: those of them whose paths are.
        init(_ route: RouteConfig, listeners: [String], lenient: Set<String>) {
            let own = route.listeners.isEmpty ? listeners : route.listeners
            self.init(route, isLenient: own.contains(where: lenient.contains))
        }

        /// - Parameter isLenient: some listener of the route is.
        init(_ route: RouteConfig, isLenient: Bool) {
            mode = isLenient ? .lenient : .strict
            allowsParameters = isLenient || route.pathParameters == .allow
            keepsSlash = isLenient || route.encodedSlash == .keep
        }
    }

    /// As it goes to servers.
    let canonical: String
    /// As `PathKey` has it, parameters included.
    let key: String
    let spelling: Spelling

    /// - Throws: why no request can have this path.
    init(_ text: String, _ rules: Rules = Rules()) throws(Fault) {
        let (outcome, written) = RequestPath.canonicalize(text, rules.mode, isGRPC: false)
        if case .refused(let fault) = outcome {
            throw Fault(text, .refused(fault), PathPattern.hint(for: fault))
        }
        if text.contains("//") {
            throw Fault(text, .emptySegments, "slashes are merged before paths are compared")
        }
        canonical = written
        key = canonical.withBytes { path in PathKey.withKey(path, .withParameters) { $0.string } }
        spelling = PathPattern.spelling(canonical)
        if spelling.contains(.parameters) && !rules.allowsParameters {
            throw Fault(text, .refused(.parameters), "set path_parameters: allow, or leave them out")
        }
        if canonical.uppercased().contains("%2F") && !rules.keepsSlash {
            throw Fault(text, .refused(.encodedSlash), "set encoded_slash: keep")
        }
    }

    private static func spelling(_ canonical: String) -> Spelling {
        let text = canonical.uppercased()
        var spelling: Spelling = []
        if text.contains(";") || text.contains("%3B") { spelling.insert(.parameters) }
        if ["%2F", "%3F", "%23"].contains(where: text.contains) { spelling.insert(.encodedDelimiters) }
        return spelling
    }

    private static func hint(for fault: PathFault) -> String? {
        switch fault {
        case .malformedEscape: "write %25 for a percent sign"
        case .doubleEncoding: "write what it stands for, encoded once"
        case .fragment: "write %23 if the character is meant"
        case .dotSegment: "write the path that it leads to"
        case .notUTF8: "write characters beyond ASCII as the octets of their UTF-8"
        case .backslash, .controlCharacter, .blank, .notASCII, .noSlash, .emptySegment, .escapeInGRPC, .parameters,
            .encodedSlash, .otherRoute:
            nil
        }
    }
}
