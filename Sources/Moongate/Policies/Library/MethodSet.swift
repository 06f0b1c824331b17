/// gRPC methods by patterns: `shop.Cart/Get*`, in which a star stands for anything but a slash; a lone `*` is every method.
struct MethodSet: Sendable {
    private let patterns: [[UInt8]]
    private let takesAll: Bool

    /// - Throws: the first pattern that is none, or that no request can have.
    init(_ texts: [String]) throws(MethodFault) {
        var patterns: [[UInt8]] = []
        for text in texts where text != "*" {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f })
            else { throw MethodFault(pattern: text, reason: nil) }
            patterns.append(try MethodSet.compile(text))
        }
        takesAll = texts.contains("*")
        self.patterns = patterns
    }

    private static func compile(_ text: String) throws(MethodFault) -> [UInt8] {
        let pattern: PathPattern
        do throws(PathPattern.Fault) {
            pattern = try PathPattern("/" + text)
        } catch {
            throw MethodFault(pattern: text, reason: error.reason)
        }
        // A star that is meant would be one that stands for others.
        guard !pattern.canonical.contains("%2A") else { throw MethodFault(pattern: text, reason: .literalStar) }
        return Array(pattern.key.utf8.dropFirst())
    }

    /// - Parameter path: `/shop.Cart/GetItem`, the query apart.
    func contains(_ path: Bytes) -> Bool {
        let end = path.firstIndex(of: UInt8(ascii: "?")) ?? path.count
        guard end > 0, path[0] == UInt8(ascii: "/") else { return false }
        if takesAll { return true }
        let path = path[0..<end]
        // Some servers take no notice of a slash at the end.
        guard !RequestPath.isPlain(path) || path[end - 1] == UInt8(ascii: "/") else { return matches(path) }
        return MethodSet.readings.contains { reading in
            PathKey.withKey(path, reading) { matches($0) || matches(MethodSet.trimmed($0)) }
        }
    }

    /// One that only some servers have of a path is a reading, too: it is safer to find a method in both lists than in none.
    private static let readings: [PathKey.Reading] = [[], .decodedSlash, .decodedEnd, [.decodedSlash, .decodedEnd]]

    private static func trimmed(_ path: Bytes) -> Bytes {
        path.count > 1 && path[path.count - 1] == UInt8(ascii: "/") ? path[0..<path.count - 1] : path
    }

    /// - Parameter path: begins with a slash.
    private func matches(_ path: Bytes) -> Bool {
        path.count > 0 && patterns.contains { MethodSet.matches($0, path[1..<path.count]) }
    }

    /// Goes back to the last star only: the steps are bounded by the product of both lengths.
    private static func matches(_ pattern: [UInt8], _ text: Bytes) -> Bool {
        var place = 0
        var index = 0
        var star: (place: Int, index: Int)?
        while index < text.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                star = (place, index)
                place += 1
            } else if place < pattern.count, pattern[place] == text[index] {
                place += 1
                index += 1
            } else if let last = star, text[last.index] != UInt8(ascii: "/") {
                star = (last.place, last.index + 1)
                place = last.place + 1
                index = last.index + 1
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

/// A text that is no pattern for methods.
struct MethodFault: Error {
    let pattern: String
    /// Why no request can have it; `nil`: it has not the form of a pattern.
    let reason: PathPattern.Reason?

    /// Without the pattern, which may be anything where a script gives it.
    var problem: CallMessage {
        guard let reason else { return "is no pattern such as shop.Cart/Get* or *" }
        return "fits no method: \(reason)"
    }
}
