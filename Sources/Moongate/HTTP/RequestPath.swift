import MoongateConfig

/// The one form that a request's path has before policies and routes see it, and that servers get.
///
/// Servers read paths in their own ways: some decode them once, some twice, some merge slashes, resolve dot segments, take
/// parameters off or take a backslash for a slash. A spelling that leads some of them elsewhere than the routes and policies
/// here is refused; those that all read alike become the same octets (RFC 3986 §6.2.2).
enum RequestPath {
    enum Outcome: Equatable {
        /// The path is canonical.
        case plain(PathTraits)
        /// So many octets were written.
        case rewritten(Int, PathTraits)
        case refused(PathFault)
    }

    /// - Parameters:
    ///   - path: of the request, with its query, which stays as it is.
    ///   - isGRPC: the request's content type begins with that of gRPC, whose paths need no escapes.
    ///   - target: has room for as many octets as `path` has.
    static func canonicalize(
        _ path: Bytes, _ mode: PathMode, isGRPC: Bool, into target: UnsafeMutablePointer<UInt8>
    ) -> Outcome {
        let end = path.firstIndex(of: UInt8(ascii: "?")) ?? path.count
        guard end > 0, path[0] == UInt8(ascii: "/") else { return .refused(.noSlash) }
        let query = path[end..<path.count]
        if mode == .strict, query.firstIndex(of: UInt8(ascii: "#")) != nil { return .refused(.fragment) }
        var canonicalizer = PathCanonicalizer(path[0..<end], mode, isGRPC: isGRPC, target)
        if let fault = canonicalizer.run() { return .refused(fault) }
        let written = Bytes(target, canonicalizer.count)
        if written.equals(path[0..<end]) { return .plain(canonicalizer.traits) }
        (target + written.count).update(from: query.base, count: query.count)
        return .rewritten(written.count + query.count, canonicalizer.traits)
    }

    /// The same for texts of people. The text is the canonical one, or the given one of a path that is refused.
    static func canonicalize(_ path: String, _ mode: PathMode, isGRPC: Bool) -> (outcome: Outcome, text: String) {
        let octets = Array(path.utf8)
        var written = [UInt8](repeating: 0, count: octets.count + 1)
        let outcome = written.withUnsafeMutableBufferPointer { buffer in
            octets.withUnsafeBufferPointer { octets -> Outcome in
                guard let base = octets.baseAddress, let target = buffer.baseAddress else { return .refused(.noSlash) }
                return canonicalize(Bytes(base, octets.count), mode, isGRPC: isGRPC, into: target)
            }
        }
        guard case .rewritten(let count, _) = outcome else { return (outcome, path) }
        return (outcome, String(decoding: written[..<count], as: UTF8.self))
    }

    /// Whether the path is canonical at first sight, whatever the mode, and is compared as it stands. Eight octets at a time.
    /// Not asked for DEL, which no field has (`FieldSyntax`).
    @inline(__always) static func isPlain(_ path: Bytes) -> Bool {
        guard path.count >= 8 else { return false }
        var found: UInt64 = 0
        var index = 0
        // The last word begins within the one before it, so that no pair of octets is missed.
        let last = path.count - 8
        while index < last {
            found |= oddities(path, at: index)
            index += 7
        }
        return (found | oddities(path, at: last)) & highs == 0 && path[0] == UInt8(ascii: "/")
    }

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The highest bits say where something may be that needs a closer look: an octet below the hyphen, such as a percent
    /// sign or a number sign, a semicolon, a backslash, an octet beyond ASCII, or a dot or slash behind a slash.
    @inline(__always) private static func oddities(_ path: Bytes, at index: Int) -> UInt64 {
        let word = UInt64(littleEndian: UnsafeRawPointer(path.base + index).loadUnaligned(as: UInt64.self))
        let segments = (octets(word, 0x2f) & highs) << 8
        let below = (word &- ones &* 0x2d) & ~word
        // A dot differs from a slash in the lowest bit.
        return word | below | octets(word, 0x3b) | octets(word, 0x5c) | segments & octets(word | ones, 0x2f)
    }

    /// The highest bit of each octet that is `octet`; of others above it, perhaps.
    @inline(__always) private static func octets(_ word: UInt64, _ octet: UInt64) -> UInt64 {
        let zeros = word ^ (ones &* octet)
        return (zeros &- ones) & ~zeros
    }
}

/// Parts of a path that not every route takes, or that take no part when it is compared.
struct PathTraits: OptionSet, BitwiseCopyable {
    let rawValue: UInt8
    /// Escapes, parameters or empty segments: it is compared by its `PathKey`.
    static let escaped = PathTraits(rawValue: 1)
    /// A semicolon, as it is or as `%3B`, that the route has to allow.
    static let parameters = PathTraits(rawValue: 2)
    /// `%2F`, that the route has to keep.
    static let encodedSlash = PathTraits(rawValue: 4)
    /// `%3F` or `%23`: it must not end the path for one server and belong to it for another.
    static let encodedEnd = PathTraits(rawValue: 8)

    /// The parts to be looked at again when the route is known.
    static let restricted: PathTraits = [.parameters, .encodedSlash, .encodedEnd]

    /// Those of the restricted ones that a route takes.
    static func allowed(by route: RouteConfig) -> PathTraits {
        var traits: PathTraits = .encodedEnd
        if route.pathParameters == .allow { traits.insert(.parameters) }
        if route.encodedSlash == .keep { traits.insert(.encodedSlash) }
        return traits
    }
}

/// Why a path is refused.
enum PathFault: Equatable {
    case noSlash, malformedEscape, controlCharacter, notASCII, notUTF8, blank, fragment, backslash, dotSegment
    case doubleEncoding, emptySegment, escapeInGRPC, parameters, encodedSlash, otherRoute

    /// For people.
    var text: String {
        switch self {
        case .noSlash: "the path does not begin with a slash"
        case .malformedEscape: "the path has a percent sign without two hexadecimal digits behind it"
        case .controlCharacter: "the path has a control character"
        case .notASCII: "the path has octets beyond ASCII that are not percent-encoded"
        case .notUTF8: "the path has percent-encoded octets that are not UTF-8"
        case .blank: "the path has a blank"
        case .fragment: "the path has a fragment"
        case .backslash: "the path has a backslash"
        case .dotSegment: "the path has dot segments"
        case .doubleEncoding: "the path is percent-encoded twice"
        case .emptySegment: "the path has empty segments, which no gRPC method has"
        case .escapeInGRPC: "the path has a percent sign, which no gRPC method has"
        case .parameters: "the path has parameters (;), which its route does not allow"
        case .encodedSlash: "the path has an encoded slash, which its route does not keep"
        case .otherRoute: "the path belongs to another route for a server that decodes its delimiters first"
        }
    }
}
