/// One request to the admin listener: HTTP/1.1 without a body (RFC 9112), read strictly.
struct AdminRequest: Equatable {
    var method: String
    /// Without the query.
    var path: String
    /// What follows `?`.
    var query = ""
    var keepAlive: Bool
    /// The `Host` field; `nil` in HTTP/1.0, where it may be missing.
    var host: String?
    /// A text for people is asked for, by `format=text` in the query or an `accept` header that names no other kind.
    var wantsText = false

    /// `/ready` is asked whether the newest files serve, too.
    var isStrict: Bool {
        query.split(separator: "&").contains { $0 == "strict" || $0 == "strict=1" || $0 == "strict=true" }
    }

    enum ParseResult: Equatable {
        case needMore
        /// - Parameter length: bytes of the input that the request took.
        case request(AdminRequest, length: Int)
        /// Not a request that is answered otherwise; the connection is of no further use.
        case refused(AdminStatus)
    }

    /// Largest head in bytes, the empty line included.
    static let largestHead = 8192

    /// Looks for one complete head at the start of `input`.
    static func parse(_ input: [UInt8]) -> ParseResult {
        // RFC 9112 §2.2: an empty line before the request line is to be ignored.
        let skipped = input.starts(with: [13, 10]) ? 2 : 0
        guard let end = headEnd(input, from: skipped) else {
            return input.count >= largestHead ? .refused(.headersTooLarge) : .needMore
        }
        guard end <= largestHead else { return .refused(.headersTooLarge) }
        let lines = input[skipped..<end - 4].split(separator: 10, omittingEmptySubsequences: false)
        var texts: [ArraySlice<UInt8>] = []
        for (index, line) in lines.enumerated() {
            // Every line but the last, whose CR LF is cut off above, must end with CR; no other CR is allowed.
            let isLast = index == lines.count - 1
            guard isLast || line.last == 13 else { return .refused(.badRequest) }
            let text = isLast ? line : line.dropLast()
            guard !text.contains(where: { $0 == 13 || $0 == 0 }) else { return .refused(.badRequest) }
            texts.append(text)
        }
        guard let first = texts.first else { return .refused(.badRequest) }
        switch requestLine(first) {
        case .failure(let status): return .refused(status)
        case .success(var line):
            guard let fields = Fields(texts.dropFirst()) else { return .refused(.badRequest) }
            if let status = fields.refusal(isHTTP10: line.isHTTP10) { return .refused(status) }
            line.request.host = fields.host
            line.request.wantsText = line.request.wantsText || fields.wantsText
            line.request.keepAlive = line.isHTTP10 ? fields.wantsKeepAlive : !fields.wantsClose
            return .request(line.request, length: end)
        }
    }

    private static func headEnd(_ input: [UInt8], from start: Int) -> Int? {
        var index = start + 3
        while index < input.count {
            if input[index] == 10 && input[index - 1] == 13 && input[index - 2] == 10 && input[index - 3] == 13 {
                return index + 1
            }
            index += 1
        }
        return nil
    }

    private enum LineResult {
        case success((request: AdminRequest, isHTTP10: Bool))
        case failure(AdminStatus)
    }

    private static func requestLine(_ line: ArraySlice<UInt8>) -> LineResult {
        let parts = line.split(separator: 32, omittingEmptySubsequences: false)
        guard parts.count == 3, isToken(parts[0]), parts[1].first == UInt8(ascii: "/"),
            parts[1].allSatisfy({ $0 > 32 && $0 < 127 })
        else { return .failure(.badRequest) }
        let version = String(decoding: parts[2], as: UTF8.self)
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else {
            return .failure(version.hasPrefix("HTTP/") ? .versionNotSupported : .badRequest)
        }
        let method = String(decoding: parts[0], as: UTF8.self)
        guard method == "GET" || method == "HEAD" else { return .failure(.methodNotAllowed) }
        let path = parts[1].prefix { $0 != UInt8(ascii: "?") }
        let query = String(decoding: parts[1].dropFirst(path.count + 1), as: UTF8.self)
        let request = AdminRequest(
            method: method, path: String(decoding: path, as: UTF8.self), query: query, keepAlive: true,
            wantsText: query.split(separator: "&").contains("format=text"))
        return .success((request, version == "HTTP/1.0"))
    }

    /// RFC 9110 §5.6.2.
    fileprivate static func isToken(_ bytes: ArraySlice<UInt8>) -> Bool {
        !bytes.isEmpty
            && bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }
}

/// The header fields that decide how a request is read.
private struct Fields {
    private var hosts = 0
    private(set) var host: String?
    private var connection: [String] = []
    private var hasBody = false
    private(set) var wantsText = false

    /// `nil` when a line is not a field (RFC 9112 §5): no name, a space before the colon, a folded line.
    init?(_ lines: ArraySlice<ArraySlice<UInt8>>) {
        for line in lines {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), AdminRequest.isToken(line[..<colon]) else {
                return nil
            }
            let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
            let value = Fields.trim(String(decoding: line[(colon + 1)...], as: UTF8.self))
            switch name {
            case "host":
                hosts += 1
                host = value
            case "connection":
                connection += value.lowercased().split(separator: ",").map { Fields.trim(String($0)) }
            case "accept": wantsText = value.lowercased().hasPrefix("text/plain")
            case "transfer-encoding": hasBody = true
            case "content-length": hasBody = hasBody || value != "0"
            default: break
            }
        }
    }

    var wantsClose: Bool { connection.contains("close") }
    var wantsKeepAlive: Bool { connection.contains("keep-alive") && !wantsClose }

    /// Nothing here takes a body, and a body that is not read would be taken for the next request.
    func refusal(isHTTP10: Bool) -> AdminStatus? {
        let hostsAreRight = hosts == 1 || (hosts == 0 && isHTTP10)
        return hasBody || !hostsAreRight ? .badRequest : nil
    }

    private static func trim(_ text: String) -> String {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
        guard let start = text.firstIndex(where: { !isSpace($0) }), let end = text.lastIndex(where: { !isSpace($0) })
        else { return "" }
        return String(text[start...end])
    }
}
