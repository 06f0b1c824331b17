import Glibc

/// An IP address and a port: 32 bytes without references, copied freely between threads.
///
/// IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2), which a dual-stack listener reports for its IPv4 peers, are
/// kept as the IPv4 addresses that they stand for.
struct SocketAddress: Sendable, Hashable {
    enum Family: UInt8, Sendable, Hashable {
        case v4, v6
    }

    let family: Family
    /// Host byte order.
    var port: UInt16
    /// The interface of a link-local IPv6 address, otherwise 0.
    let scope: UInt32
    /// The address in network byte order, as it lies in memory; IPv4 fills the first four bytes, the rest is 0.
    private let address: (UInt64, UInt64)

    /// `0.0.0.0` or `::`: every local address.
    static func any(_ family: Family, port: UInt16) -> SocketAddress { SocketAddress(family: family, port: port) }

    private init(family: Family, port: UInt16) {
        self.family = family
        self.port = port
        scope = 0
        address = (0, 0)
    }

    /// - Parameter bytes: 4 or 16 bytes in network byte order; anything else gives `nil`.
    init?(bytes: UnsafeRawBufferPointer, port: UInt16, scope: UInt32 = 0) {
        var source = bytes
        if bytes.count == 16 && SocketAddress.isMapped(bytes) {
            source = UnsafeRawBufferPointer(rebasing: bytes[12...])
        }
        switch source.count {
        case 4: family = .v4
        case 16: family = .v6
        default: return nil
        }
        self.port = port
        self.scope = family == .v6 ? scope : 0
        var storage: (UInt64, UInt64) = (0, 0)
        withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: source) }
        address = storage
    }

    /// A literal IPv4 or IPv6 address without brackets; no name is ever looked up. `fe80::1%eth0` and
    /// `fe80::1%2` name the interface.
    init?(host: String, port: UInt16) {
        var v4 = in_addr()
        if inet_pton(AF_INET, host, &v4) == 1 {
            let parsed = withUnsafeBytes(of: &v4) { SocketAddress(bytes: $0, port: port) }
            guard let parsed else { return nil }
            self = parsed
            return
        }
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let literal = parts.first else { return nil }
        var v6 = in6_addr()
        guard inet_pton(AF_INET6, String(literal), &v6) == 1 else { return nil }
        var scope: UInt32 = 0
        if parts.count == 2 {
            scope = UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
            if scope == 0 { return nil }
        }
        let parsed = withUnsafeBytes(of: &v6) { SocketAddress(bytes: $0, port: port, scope: scope) }
        guard let parsed else { return nil }
        self = parsed
    }

    /// `1.2.3.4:80` or `[::1]:80`.
    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = SocketAddress.port(text[text.index(after: colon)...])
        else {
            return nil
        }
        var host = text[..<colon]
        if host.first == "[" {
            guard host.last == "]", host.count > 2 else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        self.init(host: String(host), port: port)
    }

    /// `nil` for families other than IPv4 and IPv6.
    init?(_ storage: sockaddr_storage) {
        let parsed: SocketAddress? = withUnsafeBytes(of: storage) { raw in
            switch Int32(storage.ss_family) {
            case AF_INET:
                let v4 = raw.load(as: sockaddr_in.self)
                return withUnsafeBytes(of: v4.sin_addr) {
                    SocketAddress(bytes: $0, port: UInt16(bigEndian: v4.sin_port))
                }
            case AF_INET6:
                let v6 = raw.load(as: sockaddr_in6.self)
                return withUnsafeBytes(of: v6.sin6_addr) {
                    SocketAddress(bytes: $0, port: UInt16(bigEndian: v6.sin6_port), scope: v6.sin6_scope_id)
                }
            default: return nil
            }
        }
        guard let parsed else { return nil }
        self = parsed
    }

    static func == (left: SocketAddress, right: SocketAddress) -> Bool {
        left.address == right.address && left.port == right.port && left.family == right.family
            && left.scope == right.scope
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(address.0)
        hasher.combine(address.1)
        hasher.combine(port)
    }

    /// As `AddressRanges` counts, without port and scope.
    var mappedNumber: AddressRanges.Number {
        let high = UInt64(bigEndian: address.0)
        guard family == .v6 else { return SocketAddress.mappedStart | AddressRanges.Number(high >> 32) }
        return AddressRanges.Number(high) << 64 | AddressRanges.Number(UInt64(bigEndian: address.1))
    }

    /// `::ffff:0.0.0.0`
    static var mappedStart: AddressRanges.Number { 0xffff_0000_0000 }

    private static func port(_ text: Substring) -> UInt16? {
        guard text.first?.isNumber == true else { return nil }
        return UInt16(text)
    }

    private static func isMapped(_ bytes: UnsafeRawBufferPointer) -> Bool {
        for index in 0..<10 where bytes[index] != 0 { return false }
        return bytes[10] == 0xFF && bytes[11] == 0xFF
    }
}

extension SocketAddress {
    /// Lends the address, 4 or 16 bytes in network byte order.
    func withAddressBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withUnsafeBytes(of: address) {
            try body(UnsafeRawBufferPointer(rebasing: $0[0..<(family == .v4 ? 4 : 16)]))
        }
    }

    /// Lends the form that system calls take.
    func withSystemAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        switch family {
        case .v4:
            var v4 = sockaddr_in()
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            withAddressBytes { bytes in withUnsafeMutableBytes(of: &v4.sin_addr) { $0.copyMemory(from: bytes) } }
            return SocketAddress.passAddress(&v4, body)
        case .v6:
            var v6 = sockaddr_in6()
            v6.sin6_family = sa_family_t(AF_INET6)
            v6.sin6_port = port.bigEndian
            v6.sin6_scope_id = scope
            withAddressBytes { bytes in withUnsafeMutableBytes(of: &v6.sin6_addr) { $0.copyMemory(from: bytes) } }
            return SocketAddress.passAddress(&v6, body)
        }
    }

    private static func passAddress<System, Result>(
        _ address: inout System, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<System>.size))
            }
        }
    }
}

extension SocketAddress: CustomStringConvertible {
    /// The address alone: `1.2.3.4`, `::1`, `fe80::1%2`.
    var host: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { buffer in
            guard let text = buffer.baseAddress else { return "" }
            buffer.initialize(repeating: 0)
            withAddressBytes { bytes in
                _ = inet_ntop(family == .v4 ? AF_INET : AF_INET6, bytes.baseAddress, text, socklen_t(INET6_ADDRSTRLEN))
            }
            return scope == 0 ? String(cString: text) : "\(String(cString: text))%\(scope)"
        }
    }

    /// `1.2.3.4:80`, `[::1]:80`.
    var description: String { family == .v4 ? "\(host):\(port)" : "[\(host)]:\(port)" }
}
