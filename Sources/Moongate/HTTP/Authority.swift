/// The host and port of an `:authority` or `host` value (RFC 9110 §7.2, RFC 3986 §3.2).
///
/// Both views point into the bytes that were parsed.
struct Authority {
    /// As sent (case kept), without the brackets of an IPv6 literal and without one trailing dot.
    let host: Bytes
    /// The digits behind the colon; empty if there is no port.
    let port: Bytes

    /// Splits without judging the characters: what routing compares is the configuration's hosts anyway.
    ///
    /// Everything behind the last `]` or behind the only colon counts as the port. Several colons without
    /// brackets are an IPv6 address that somebody forgot to bracket: all of it is the host.
    @inline(__always)
    init(splitting value: Bytes) {
        var host = value
        var port = Bytes.empty
        if value.count > 0 && value[0] == UInt8(ascii: "[") {
            guard let close = value.firstIndex(of: UInt8(ascii: "]")) else {
                self.host = value
                self.port = .empty
                return
            }
            host = value[1..<close]
            if close + 1 < value.count && value[close + 1] == UInt8(ascii: ":") {
                port = value[close + 2..<value.count]
            }
        } else if let colon = value.firstIndex(of: UInt8(ascii: ":")) {
            let rest = value[colon + 1..<value.count]
            if rest.firstIndex(of: UInt8(ascii: ":")) == nil {
                host = value[0..<colon]
                port = rest
            }
        }
        if host.count > 1 && host[host.count - 1] == UInt8(ascii: ".") { host = host[0..<host.count - 1] }
        self.host = host
        self.port = port
    }

    /// Splits and checks. `nil` for an empty host, userinfo, characters that no host has, unbalanced brackets,
    /// an unbracketed IPv6 address, and a port that is not 0–65535. An empty port (`host:`) is allowed.
    init?(parsing value: Bytes) {
        self.init(splitting: value)
        let bracketed = value.count > 0 && value[0] == UInt8(ascii: "[")
        guard !host.isEmpty, Self.isPort(port) else { return nil }
        if bracketed {
            guard let close = value.firstIndex(of: UInt8(ascii: "]")), Self.isAddressLiteral(host) else { return nil }
            let behind = close + 1
            guard behind == value.count || value[behind] == UInt8(ascii: ":") else { return nil }
        } else {
            guard Self.isName(host) else { return nil }
        }
    }

    /// 0 to 65535, or `nil` without a port.
    var portNumber: UInt16? {
        guard !port.isEmpty else { return nil }
        var number = 0
        for index in 0..<port.count { number = min(number * 10 + Int(port[index]) - 48, 65536) }
        return UInt16(exactly: number)
    }

    private static func isPort(_ port: Bytes) -> Bool {
        var number = 0
        for index in 0..<port.count {
            guard port[index] &- 48 < 10 else { return false }
            number = number * 10 + Int(port[index]) - 48
            if number > 65535 { return false }
        }
        return true
    }

    /// IPv6address and IPvFuture of RFC 3986, by their alphabet only.
    private static func isAddressLiteral(_ host: Bytes) -> Bool {
        for index in 0..<host.count {
            let byte = host[index]
            guard isLetterOrDigit(byte) || byte == UInt8(ascii: ":") || byte == UInt8(ascii: ".") else { return false }
        }
        return host.firstIndex(of: UInt8(ascii: ":")) != nil
    }

    /// reg-name of RFC 3986: unreserved, sub-delims and `%`; so neither `@` nor `/` nor space.
    private static func isName(_ host: Bytes) -> Bool {
        for index in 0..<host.count {
            switch host[index] {
            case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "%"): continue
            case UInt8(ascii: "!"), UInt8(ascii: "$"), UInt8(ascii: "&")...UInt8(ascii: ","): continue
            case UInt8(ascii: ";"), UInt8(ascii: "="): continue
            case let byte: guard isLetterOrDigit(byte) else { return false }
            }
        }
        return true
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || byte.asciiLowercased &- UInt8(ascii: "a") < 26
    }
}
