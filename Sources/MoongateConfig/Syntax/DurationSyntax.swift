/// Durations: whole numbers with `h`, `m`, `s`, `ms`, the larger units first: `250ms`, `5s`, `1m30s`, `0s`.
enum DurationSyntax {
    static let shape = TextShape(name: "duration", pattern: "^(?=.)([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$").shown

    private static let units: [(name: String, milliseconds: Int64)] = [
        ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]

    static func parse(_ text: String) throws(SyntaxFault) -> Duration {
        var rest = text[...]
        var total: Int64 = 0
        var next = 0
        guard !rest.isEmpty else { throw fault(text) }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            let letters = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(letters.count)
            // Twelve digits of hours stay far below the range of 64 bits.
            guard !digits.isEmpty, digits.count <= 12, let number = Int64(digits),
                let unit = units.firstIndex(where: { $0.name == letters }), unit >= next
            else { throw fault(text) }
            total += number * units[unit].milliseconds
            next = unit + 1
        }
        return .milliseconds(total)
    }

    static func write(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        var rest = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        if rest == 0 { return "0s" }
        var text = ""
        for unit in units where rest >= unit.milliseconds {
            text += "\(rest / unit.milliseconds)\(unit.name)"
            rest %= unit.milliseconds
        }
        return text
    }

    private static func fault(_ text: String) -> SyntaxFault {
        let isNumber = !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        return SyntaxFault(
            "\(quoted(text)) is no duration",
            hint: isNumber ? "add a unit, such as \(shortened(text))s" : "write it like 250ms, 5s or 1m30s")
    }
}

/// Sizes: whole numbers of bytes, or with `B`, `KiB`, `MiB`, `GiB`.
enum SizeSyntax {
    static let shape = TextShape(name: "size", pattern: "^[0-9]+(B|KiB|MiB|GiB)?$").shown

    private static let units: [(name: String, bytes: Int)] = [
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1), ("", 1),
    ]

    static func parse(_ text: String) throws(SyntaxFault) -> Int {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let name = text.dropFirst(digits.count)
        guard !digits.isEmpty, let number = Int(digits), let unit = units.first(where: { $0.name == name }) else {
            throw SyntaxFault("\(quoted(text)) is no size", hint: hint(unit: name))
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: unit.bytes)
        guard !overflow else { throw SyntaxFault("\(quoted(text)) is too large") }
        return bytes
    }

    static func write(_ bytes: Int) -> String {
        let unit = units.first { bytes >= $0.bytes && bytes % $0.bytes == 0 && $0.bytes > 1 }
        return unit.map { "\(bytes / $0.bytes)\($0.name)" } ?? String(bytes)
    }

    private static func hint(unit: Substring) -> String {
        let known = units.first { !$0.name.isEmpty && unit.lowercased().first == $0.name.lowercased().first }
        guard let known, unit.count <= 3 else { return "write it like 65536, 64KiB or 10MiB" }
        return "did you mean \(known.name)?"
    }
}
