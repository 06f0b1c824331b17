extension ValueType<MirrorConfig> {
    static var mirror: ValueType {
        .mapping(
            MappingSchema(
                name: "mirror",
                summary:
                    "An upstream that gets copies of the requests, as they go to the route's own upstream. What it answers"
                    + " is dropped, and it never slows the request down.",
                initial: MirrorConfig(upstream: ""),
                fields: [
                    Field("upstream", \.upstream, .reference(to: .upstream), required: true, "Name of the upstream."),
                    Field(
                        "percent", \.millionths, .percent,
                        "How many of the requests are copied: 0 to 100, with up to four decimal places."),
                    Field(
                        "buffer", \.buffer, .size(1024...(64 << 20)),
                        "Bytes of one request that may wait for the mirror. Where it needs more, the copy is given up."),
                ]))
    }
}

extension ValueType<Int> {
    /// A percentage with up to four decimal places, in millionths.
    fileprivate static var percent: ValueType {
        let shape = TextShape(
            name: "percentage", pattern: "^(100(\\.0{1,4})?|[0-9]{1,2}(\\.[0-9]{1,4})?)$", takesAnyScalar: true,
            range: "0 to 100"
        ).shown
        let write: (Int) -> String? = { $0 % 10_000 == 0 ? String($0 / 10_000) : String(Double($0) / 10_000) }
        return .text(shape, expected: "a percentage such as 12.5", write: write) { text, _ throws(SyntaxFault) in
            let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            let isNumber = parts.allSatisfy { part in
                (1...4).contains(part.utf8.count) && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
            }
            guard isNumber, let whole = parts.first.flatMap({ Int($0) }) else {
                throw SyntaxFault("\(quoted(text)) is no percentage", hint: "write a number such as 12.5")
            }
            let digits = parts.count == 2 ? String(parts[1]) : ""
            let fraction = Int(digits + String(repeating: "0", count: 4 - digits.count)) ?? 0
            let millionths = whole * 10_000 + fraction
            guard millionths <= 1_000_000 else { throw SyntaxFault("\(text) is out of range: 0 to 100") }
            return millionths
        }
    }
}
