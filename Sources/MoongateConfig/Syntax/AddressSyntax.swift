import Glibc

/// Addresses with a port: `1.2.3.4:80`, `[::1]:80`, `name.example:80`, and `:80` where every address can be meant.
enum AddressSyntax {
    enum Role {
        /// A place to accept connections: the host may be left out, and port 0 means any free one.
        case listening
        /// A place to connect to.
        case endpoint
    }

    static func shape(_ role: Role) -> TextShape {
        switch role {
        case .listening: TextShape(name: "address", pattern: "^(\\[[0-9A-Fa-f:.]+\\]|[^\\[\\]:/]*):[0-9]{1,5}$").shown
        case .endpoint: TextShape(name: "host:port", pattern: "^(\\[[0-9A-Fa-f:.]+\\]|[^\\[\\]:/]+):[0-9]{1,5}$").shown
        }
    }

    static func parse(_ text: String, as role: Role) throws(SyntaxFault) -> SocketAddressConfig {
        let example = role == .listening ? "0.0.0.0:8080" : "127.0.0.1:50051"
        if text.contains("://") {
            throw SyntaxFault("\(quoted(text)) is no address", hint: "write host:port without a scheme")
        }
        let host: Substring
        let port: Substring
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { throw SyntaxFault("\(quoted(text)) lacks a \"]\"") }
            host = text[text.index(after: text.startIndex)..<end]
            guard HostSyntax.isIPv6(host) else { throw SyntaxFault("\(quoted(host)) is no IPv6 address") }
            let rest = text[text.index(after: end)...]
            guard rest.hasPrefix(":") else { throw missingPort(text, example: "\(text):8080") }
            port = rest.dropFirst()
        } else {
            guard let colon = text.lastIndex(of: ":") else {
                let isNumber = !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
                let isHost = HostSyntax.isHost(text) && !isNumber
                throw missingPort(text, example: isHost ? "\(text):8080" : example)
            }
            host = text[..<colon]
            port = text[text.index(after: colon)...]
            if host.contains(":") {
                throw SyntaxFault(
                    "\(quoted(text)) is no address", hint: "write an IPv6 address in brackets, such as [::1]:8080")
            }
            try check(host: host, in: text, role)
        }
        return SocketAddressConfig(host: host.lowercased(), port: try parse(port: port, in: text, role))
    }

    private static func check(host: Substring, in text: String, _ role: Role) throws(SyntaxFault) {
        if host.isEmpty {
            guard role == .endpoint else { return }
            throw SyntaxFault("\(quoted(text)) has no host", hint: "write host:port, such as 127.0.0.1\(text)")
        }
        if HostSyntax.looksLikeIPv4(host) {
            guard HostSyntax.isIPv4(host) else { throw SyntaxFault("\(quoted(host)) is no IPv4 address") }
        } else if !HostSyntax.isHost(host) {
            throw SyntaxFault("\(quoted(host)) is no host name")
        }
    }

    private static func parse(port: Substring, in text: String, _ role: Role) throws(SyntaxFault) -> UInt16 {
        let lowest: UInt16 = role == .listening ? 0 : 1
        let isNumber = !port.isEmpty && port.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard isNumber, let number = UInt16(port), number >= lowest else {
            throw SyntaxFault("the port of \(quoted(text)) has to be a number from \(lowest) to 65535")
        }
        return number
    }

    private static func missingPort(_ text: String, example: String) -> SyntaxFault {
        SyntaxFault("\(quoted(text)) has no port", hint: "write host:port, such as \(shortened(example))")
    }
}

/// Host names and literal addresses.
enum HostSyntax {
    static func isIPv4(_ text: some StringProtocol) -> Bool {
        var address = in_addr()
        return !text.utf8.contains(0) && inet_pton(AF_INET, String(text), &address) == 1
    }

    static func isIPv6(_ text: some StringProtocol) -> Bool {
        var address = in6_addr()
        return !text.utf8.contains(0) && inet_pton(AF_INET6, String(text), &address) == 1
    }

    /// Digits and dots only, so it is meant to be an IPv4 address.
    static func looksLikeIPv4(_ text: some StringProtocol) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }
    }

    /// A host name: labels of up to 63 letters, digits, `-` and `_`, together at most 253 (RFC 1123 §2.1, with the
    /// underscore that DNS and service discovery use). One dot may stand at the end.
    static func isHost(_ text: some StringProtocol) -> Bool {
        let name = text.hasSuffix(".") ? String(text.dropLast()) : String(text)
        guard !name.isEmpty, name.utf8.count <= 253 else { return false }
        return name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy(isLabelByte)
        }
    }

    private static func isLabelByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
