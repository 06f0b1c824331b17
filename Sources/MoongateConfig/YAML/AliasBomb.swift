/// Tells files that would take the composer exponential time, before it sees them.
///
/// Aliases as values cost nothing until they are followed, which is counted. A mapping *key* that holds aliases is
/// hashed as a whole while the tree is built. Among `n` aliases the largest expansion is `3^(n/3)` copies of what
/// they stand for, so a file is let through if that stays small or if no key can be anything but text.
enum AliasBomb {
    static func isPossible(in text: String) -> Bool {
        var aliases = 0
        var anchors = 0
        var oddKeys = false
        // The byte before, and the last one that is no blank, to see `] :`, `} :` and `*name :`.
        var previous = UInt8(ascii: "\n")
        var solid = UInt8(ascii: "\n")
        var inAlias = false
        for byte in text.utf8 {
            let isBlank = isBlank(byte)
            if opensToken(previous) && byte == UInt8(ascii: "*") {
                aliases += 1
                inAlias = true
            } else if opensToken(previous) && byte == UInt8(ascii: "&") {
                anchors += 1
            } else if byte == UInt8(ascii: ":") {
                if inAlias || solid == UInt8(ascii: "]") || solid == UInt8(ascii: "}") { oddKeys = true }
            } else if isBlank {
                if previous == UInt8(ascii: "?") { oddKeys = true }
            } else if Self.isBlank(previous) {
                inAlias = false
            }
            if !isBlank { solid = byte }
            previous = byte
        }
        guard anchors > 0, oddKeys else { return false }
        return Double(text.utf8.count) * power(of: aliases) > 1e8
    }

    private static func opensToken(_ byte: UInt8) -> Bool {
        isBlank(byte) || byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") || byte == UInt8(ascii: ",")
            || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "?") || byte == UInt8(ascii: "-")
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\n")
            || byte == UInt8(ascii: "\r")
    }

    private static func power(of aliases: Int) -> Double {
        var result = 1.0
        for _ in 0..<min(aliases / 3 + 1, 100) { result *= 3 }
        return result
    }
}
