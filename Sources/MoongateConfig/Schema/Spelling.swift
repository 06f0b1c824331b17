/// Guesses what was meant by a word that is not known.
public enum Spelling {
    /// `did you mean "…"?` for the nearest word, if one is near enough to be meant.
    public static func suggestion(for word: String, among known: [String]) -> String? {
        nearest(to: word, among: known).map { "did you mean \(quoted($0))?" }
    }

    /// The nearest word, if one is near enough to be meant.
    public static func nearest(to word: String, among known: [String]) -> String? {
        let plain = simplified(word)
        guard plain.count <= 64 else { return nil }
        var best: (word: String, distance: Int)?
        // Names are few, or many and alike; either way the first hundreds decide.
        for candidate in known.prefix(2000) {
            let other = simplified(candidate)
            let limit = max(1, max(plain.count, other.count) / 3)
            guard abs(plain.count - other.count) <= limit else { continue }
            let distance = editDistance(plain, other)
            if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.word
    }

    /// `maxHeader-Bytes` and `max_header_bytes` differ in style only.
    private static func simplified(_ word: String) -> [UInt8] {
        word.lowercased().utf8.filter { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "_") }
    }

    /// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
    static func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
        var beforeLast = [Int](repeating: 0, count: b.count + 1)
        var last = Array(0...b.count)
        for i in 1...a.count {
            var current = [Int](repeating: i, count: b.count + 1)
            for j in 1...b.count {
                let change = a[i - 1] == b[j - 1] ? 0 : 1
                current[j] = min(last[j] + 1, current[j - 1] + 1, last[j - 1] + change)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    current[j] = min(current[j], beforeLast[j - 2] + 1)
                }
            }
            beforeLast = last
            last = current
        }
        return last[b.count]
    }
}
