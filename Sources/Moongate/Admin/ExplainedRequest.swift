import MoongateConfig

/// A request that somebody asks about: a gRPC call unless its headers say otherwise.
public struct ExplainedRequest: Sendable, Equatable {
    public var method: String
    public var host: String
    public var path: String
    public var headers: [(name: String, value: String)]
    /// `nil`: all listeners.
    public var listener: String?

    public init(
        method: String = "POST", host: String, path: String, headers: [(name: String, value: String)] = [],
        listener: String? = nil
    ) {
        self.method = method
        self.host = host
        self.path = path
        self.headers = headers
        self.listener = listener
    }

    public static func == (one: ExplainedRequest, other: ExplainedRequest) -> Bool {
        one.method == other.method && one.host == other.host && one.path == other.path
            && one.listener == other.listener && one.headers.map { "\($0)" } == other.headers.map { "\($0)" }
    }

    /// `name=value` or `name: value`; `nil`: neither.
    public static func header(_ text: String) -> (name: String, value: String)? {
        guard let end = text.firstIndex(where: { $0 == "=" || $0 == ":" }), end > text.startIndex else { return nil }
        var value = text[text.index(after: end)...]
        while value.first == " " { value = value.dropFirst() }
        return (text[..<end].lowercased(), String(value))
    }

    // MARK: As a query

    /// For `/explain?…`.
    public var query: String {
        var items = [("method", method), ("host", host), ("path", path)]
        items += headers.map { ("header", "\($0.name)=\($0.value)") }
        if let listener { items.append(("listener", listener)) }
        return items.map { "\($0.0)=\(ExplainedRequest.encoded($0.1))" }.joined(separator: "&")
    }

    /// `nil`: it names no host or no path, or has a header that is none.
    init?(query: String) {
        self.init(host: "", path: "")
        for item in query.split(separator: "&") {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count == 2 ? ExplainedRequest.decoded(parts[1]) : ""
            switch parts[0] {
            case "method": method = value
            case "host": host = value
            case "path": path = value
            case "listener": listener = value
            case "header":
                guard let header = ExplainedRequest.header(value) else { return nil }
                headers.append(header)
            default: break
            }
        }
        if host.isEmpty || path.isEmpty { return nil }
    }

    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8
        while let byte = rest.popFirst() {
            let digits = rest.prefix(2).compactMap { Character(UnicodeScalar($0)).hexDigitValue }
            guard byte == UInt8(ascii: "%"), digits.count == 2 else {
                bytes.append(byte == UInt8(ascii: "+") ? 0x20 : byte)
                continue
            }
            bytes.append(UInt8(digits[0] << 4 | digits[1]))
            rest = rest.dropFirst(2)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func encoded(_ text: String) -> String {
        text.utf8.map { byte -> String in
            let character = Character(UnicodeScalar(byte))
            if byte < 0x80, character.isLetter || character.isNumber || "-._~/".contains(character) {
                return String(character)
            }
            let hex = String(byte, radix: 16, uppercase: true)
            return "%" + (byte < 16 ? "0" : "") + hex
        }.joined()
    }

    /// Lends the head.
    func withHead<Result>(_ body: (HeaderList) -> Result) -> Result {
        let list = HeaderList()
        defer { list.destroy() }
        func add(_ name: String, _ value: String) {
            name.withBytes { name in value.withBytes { list.add(name: name, value: $0) } }
        }
        add(":method", method)
        add(":scheme", "http")
        add(":authority", host)
        add(":path", path)
        for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")]
        where !headers.contains(where: { $0.name == name }) {
            add(name, value)
        }
        for header in headers where !header.name.hasPrefix(":") { add(header.name, header.value) }
        list.joinCookies()
        return body(list)
    }
}
