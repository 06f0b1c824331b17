import MoongateConfig

/// By which names the admin listener may be asked.
///
/// A page in a browser can have its own name resolve to this machine and then read answers as its own (DNS rebinding). Such a
/// request names that host, so a name passes only if it is known; an IP address cannot be rebound.
struct AdminHosts: Sendable {
    private let exact: Set<String>
    /// With a dot in front: `.internal`.
    private let suffixes: [String]

    /// - Parameter names: in lower case, `*.internal` for those below a name.
    init(_ names: [String] = []) {
        exact = Set(names.filter { !$0.hasPrefix("*.") }).union(["localhost"])
        suffixes = names.filter { $0.hasPrefix("*.") }.map { String($0.dropFirst()) } + [".localhost"]
    }

    /// The worth of a `Host` field.
    enum Verdict: Equatable {
        case accepted
        case unknown
        /// No host with or without a port (RFC 9112 §3.2).
        case malformed
    }

    func verdict(_ field: String) -> Verdict {
        guard let host = AdminHosts.host(of: field) else { return .malformed }
        if SocketAddress(host: host, port: 0) != nil { return .accepted }
        return exact.contains(host) || suffixes.contains { host.hasSuffix($0) && host.count > $0.count }
            ? .accepted : .unknown
    }

    /// In lower case, without port, brackets and a dot at the end.
    private static func host(of field: String) -> String? {
        var host: Substring
        var rest: Substring
        if field.hasPrefix("[") {
            guard let end = field.firstIndex(of: "]") else { return nil }
            host = field[field.index(after: field.startIndex)..<end]
            rest = field[field.index(after: end)...]
            guard SocketAddress(host: String(host), port: 0)?.family == .v6 else { return nil }
        } else {
            let end = field.firstIndex(of: ":") ?? field.endIndex
            host = field[..<end]
            rest = field[end...]
            guard host.utf8.allSatisfy(isNameByte) else { return nil }
            if host.hasSuffix(".") { host = host.dropLast() }
        }
        if rest.hasPrefix(":") {
            rest = rest.dropFirst()
            guard rest.utf8.count <= 5, rest.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            rest = ""
        }
        guard rest.isEmpty, !host.isEmpty else { return nil }
        return host.lowercased()
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
        }
    }
}
