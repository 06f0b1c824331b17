/// gRPC methods by patterns: `shop.Cart/Get*`, in which a star stands for anything but a slash; a lone `*` is every method.
struct MethodSet: Sendable {
    private let patterns: [[UInt8]]
    private let takesAll: Bool

    /// - Throws: the first pattern that is none.
    init(_ texts: [String]) throws(MethodFault) {
        for text in texts where text != "*" {
            let parts = text.split(separator: "/", omittingEmptySubsequences: false)
            guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }), text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f })
            else { throw MethodFault(pattern: text) }
        }
        takesAll = texts.contains("*")
        patterns = texts.filter { $0 != "*" }.map { Array($0.utf8) }
    }

    /// - Parameter path: `/shop.Cart/GetItem`, the query apart.
    func contains(_ path: Bytes) -> Bool {
        let end = path.firstIndex(of: UInt8(ascii: "?")) ?? path.count
        guard end > 0, path[0] == UInt8(ascii: "/") else { return false }
        return takesAll || patterns.contains { MethodSet.matches($0, path[1..<end]) }
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
}
