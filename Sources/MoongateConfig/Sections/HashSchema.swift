extension ValueType<HashSource> {
    private struct Draft {
        var header: String?
        var cookie: HashCookie?
        var queryParameter: String?
        var sourceAddress: Void?
    }

    static var hashSource: ValueType {
        .mapping(
            MappingSchema(
                name: "hash source",
                summary: "A part of the request that is hashed.",
                initial: Draft(),
                alternatives: [.exactlyOne(["header"], ["cookie"], ["query_parameter"], ["source_address"])],
                fields: [
                    Field("header", \.header, .headerName, "Name of a header; its first value counts."),
                    Field("cookie", \.cookie, .hashCookie, "A cookie, by its name or with more about it."),
                    Field(
                        "query_parameter", \.queryParameter, .queryParameter,
                        "Name of a parameter in the query of the path, as it stands there."),
                    Field(
                        "source_address", \.sourceAddress,
                        .alwaysTrue(insteadOfFalse: "remove the entry to leave the address out"),
                        "The client's IP address."),
                ])
        ) { draft, _, _ in
            if let header = draft.header { return .header(header) }
            if let cookie = draft.cookie { return .cookie(cookie) }
            if let parameter = draft.queryParameter { return .queryParameter(parameter) }
            return draft.sourceAddress == nil ? nil : .sourceAddress
        }
    }
}

extension ValueType<HashCookie> {
    /// The name alone, or a mapping.
    fileprivate static var hashCookie: ValueType {
        let full: ValueType = .mapping(
            MappingSchema(
                name: "hash cookie",
                summary: "A cookie that is hashed. In short: its name.",
                initial: HashCookie(name: ""),
                fields: [
                    Field("name", \.name, .cookieName, required: true, "Name of the cookie; case matters."),
                    Field(
                        "ttl", \.ttl, .duration(.zero ... .seconds(31_536_000)), absent: "the cookie is only read",
                        "With it, a client that sends no such cookie gets one (`set-cookie`) that lasts so long; `0s`:"
                            + " until its session ends."),
                    Field("path", \.path, .cookiePath, "The `Path` of a cookie that is set."),
                ]))
        let name = ValueType<String>.cookieName
        return ValueType(.either([name.shape, full.shape])) { node, decoding in
            if case .mapping = node.content { return full.read(node, &decoding) }
            return name.read(node, &decoding).map { HashCookie(name: $0) }
        }
    }
}

extension ValueType<RingHashConfig> {
    static var ringHash: ValueType {
        .mapping(
            MappingSchema(
                name: "ring hash",
                summary: "The points of the ring: more of them spread requests more evenly and take more memory, 12"
                    + " bytes each on every worker.",
                initial: RingHashConfig(),
                fields: [
                    Field(
                        "minimum_ring_size", \.minimumSize, .integer(1...1_048_576),
                        "Points that all endpoints together have at least."),
                    Field(
                        "maximum_ring_size", \.maximumSize, .integer(1...1_048_576),
                        "Points that all endpoints together have at most; endpoints beyond get none."),
                ])
        ) { draft, mapping, decoding in
            if draft.minimumSize > draft.maximumSize {
                let place = mapping.has("minimum_ring_size") ? "minimum_ring_size" : "maximum_ring_size"
                decoding.report(
                    mapping.location(of: place),
                    "minimum_ring_size (\(draft.minimumSize)) is above maximum_ring_size (\(draft.maximumSize))")
            }
            return draft
        }
    }
}

extension ValueType<MaglevConfig> {
    static var maglev: ValueType {
        .mapping(
            MappingSchema(
                name: "maglev",
                summary: "The look-up table of Maglev: 4 bytes for each place on every worker.",
                initial: MaglevConfig(),
                fields: [
                    Field(
                        "table_size", \.tableSize, .prime(2...1_048_573),
                        "Places in the table, a prime number. At least 100 times the number of endpoints spreads"
                            + " requests evenly.")
                ]))
    }
}

extension ValueType<Int> {
    fileprivate static func prime(_ range: ClosedRange<Int>) -> ValueType {
        integer(range).map(write: { String($0) }) { number, node, decoding in
            guard let divisor = smallestDivisor(of: number) else { return number }
            let next = (number...range.upperBound).first { smallestDivisor(of: $0) == nil }
            decoding.report(
                node.location, "\(number) is no prime number: \(divisor) divides it",
                hint: next.map { "the next one is \($0)" })
            return nil
        }
    }

    /// `nil` for primes.
    private static func smallestDivisor(of number: Int) -> Int? {
        var divisor = 2
        while divisor * divisor <= number {
            if number % divisor == 0 { return divisor }
            divisor += 1
        }
        return nil
    }
}

extension ValueType<String> {
    /// A token (RFC 6265 §4.1.1).
    fileprivate static var cookieName: ValueType {
        let shape = TextShape(name: "cookie name", pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$").shown
        return .text(shape, expected: "the name of a cookie") { text, _ throws(SyntaxFault) in
            let others = "!#$%&'*+.^_`|~-".utf8
            let isToken = text.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || others.contains(byte)
            }
            guard isToken, (1...128).contains(text.utf8.count) else {
                throw SyntaxFault("\(quoted(text)) is no name of a cookie")
            }
            return text
        }
    }

    /// RFC 6265 §4.1.1 `path-value`, which begins with a slash here.
    fileprivate static var cookiePath: ValueType {
        let shape = TextShape(name: "path", pattern: "^/[ -:<-~]*$").shown
        return .text(shape, expected: "a path such as /", write: { $0 }) { text, _ throws(SyntaxFault) in
            guard text.hasPrefix("/"), text.utf8.allSatisfy({ (0x20...0x7e).contains($0) && $0 != 0x3b }) else {
                throw SyntaxFault("\(quoted(text)) is no path of a cookie", hint: "write a path such as /")
            }
            return text
        }
    }

    fileprivate static var queryParameter: ValueType {
        let shape = TextShape(name: "query parameter", pattern: "^[!-%'-<>-~]{1,128}$").shown
        return .text(shape, expected: "the name of a query parameter") { text, _ throws(SyntaxFault) in
            let isName = text.utf8.allSatisfy { (0x21...0x7e).contains($0) && !"&=#".utf8.contains($0) }
            guard isName, (1...128).contains(text.utf8.count) else {
                throw SyntaxFault("\(quoted(text)) is no name of a query parameter")
            }
            return text
        }
    }
}
