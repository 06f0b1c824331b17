/// A URI or relative reference, taken apart by RFC 3986; parts point into the text.
struct URLText {
    var scheme: Bytes?
    var user: Bytes?
    var password: Bytes?
    /// IPv6 addresses without their brackets.
    var host: Bytes?
    var port: Int64?
    var path = Bytes.empty
    var query: Bytes?
    var fragment: Bytes?

    /// - Throws: what is wrong.
    init(_ text: Bytes) throws(URLFault) {
        for byte in text.buffer where byte <= 0x20 || byte == 0x7f {
            throw URLFault("a URL holds no blanks and control characters")
        }
        var rest = text
        if let hash = rest.firstIndex(of: UInt8(ascii: "#")) {
            fragment = rest[hash + 1..<rest.count]
            rest = rest[0..<hash]
        }
        if let mark = rest.firstIndex(of: UInt8(ascii: "?")) {
            query = rest[mark + 1..<rest.count]
            rest = rest[0..<mark]
        }
        if let colon = rest.firstIndex(of: UInt8(ascii: ":")), URLText.isScheme(rest[0..<colon]) {
            scheme = rest[0..<colon]
            rest = rest[colon + 1..<rest.count]
        }
        if rest.starts(with: Bytes("//")) {
            let behind = rest[2..<rest.count]
            let slash = behind.firstIndex(of: UInt8(ascii: "/")) ?? behind.count
            try readAuthority(behind[0..<slash])
            rest = behind[slash..<behind.count]
        }
        path = rest
    }

    private mutating func readAuthority(_ authority: Bytes) throws(URLFault) {
        var rest = authority
        if let at = rest.lastIndex(of: UInt8(ascii: "@")) {
            let userinfo = rest[0..<at]
            let colon = userinfo.firstIndex(of: UInt8(ascii: ":"))
            user = userinfo[0..<(colon ?? userinfo.count)]
            password = colon.map { userinfo[$0 + 1..<userinfo.count] }
            rest = rest[at + 1..<rest.count]
        }
        if rest.count > 0, rest[0] == UInt8(ascii: "[") {
            guard let bracket = rest.firstIndex(of: UInt8(ascii: "]")) else {
                throw URLFault("a bracket is not closed")
            }
            host = rest[1..<bracket]
            rest = rest[bracket + 1..<rest.count]
            guard rest.isEmpty || rest[0] == UInt8(ascii: ":") else { throw URLFault("the host is malformed") }
        } else {
            let colon = rest.firstIndex(of: UInt8(ascii: ":")) ?? rest.count
            host = rest[0..<colon]
            rest = rest[colon..<rest.count]
        }
        guard rest.count > 1 else { return }
        let digits = rest[1..<rest.count]
        guard digits.count <= 5, digits.buffer.allSatisfy({ $0 &- 0x30 < 10 }), let number = Int64(digits.string),
            number <= 65535
        else { throw URLFault("the port is no number up to 65535") }
        port = number
    }

    private static func isScheme(_ text: Bytes) -> Bool {
        guard text.count > 0, text[0].asciiLowercased &- 0x61 < 26 else { return false }
        return text.buffer.allSatisfy { byte in
            byte.asciiLowercased &- 0x61 < 26 || byte &- 0x30 < 10 || "+-.".utf8.contains(byte)
        }
    }
}

/// What is wrong with a URL.
struct URLFault: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

/// Percent-encoding (RFC 3986 §2.1).
enum PercentEncoding {
    /// Writes at most three times as many bytes and gives their number. Only unreserved characters stay as they are.
    static func escape(_ source: Bytes, to target: UnsafeMutablePointer<UInt8>) -> Int {
        var place = 0
        for byte in source.buffer {
            if byte.asciiLowercased &- 0x61 < 26 || byte &- 0x30 < 10 || "-._~".utf8.contains(byte) {
                target[place] = byte
                place += 1
            } else {
                target[place] = UInt8(ascii: "%")
                target[place + 1] = upper(byte >> 4)
                target[place + 2] = upper(byte & 15)
                place += 3
            }
        }
        return place
    }

    /// Writes at most as many bytes and gives their number; `nil` if a percent sign has no two digits behind it.
    ///
    /// - Parameter isForm: whether `+` is a blank, as in queries that HTML forms make.
    static func unescape(_ source: Bytes, to target: UnsafeMutablePointer<UInt8>, isForm: Bool = false) -> Int? {
        var index = 0
        var place = 0
        while index < source.count {
            var byte = source[index]
            if byte == UInt8(ascii: "%") {
                guard index + 2 < source.count, let high = Hex.value(of: source[index + 1]),
                    let low = Hex.value(of: source[index + 2])
                else { return nil }
                byte = high << 4 | low
                index += 2
            } else if isForm, byte == UInt8(ascii: "+") {
                byte = 0x20
            }
            target[place] = byte
            place += 1
            index += 1
        }
        return place
    }

    /// RFC 3986 §2.1 wants upper case.
    private static func upper(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }
}
