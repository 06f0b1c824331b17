import Glibc

/// What a proxy in front says before anything else: for whom it speaks. PROXY protocol, versions 1 and 2, as HAProxy's
/// `proxy-protocol.txt` defines it.
struct ProxyProtocolHeader: Equatable {
    /// `nil`: the connection's own (the proxy speaks for itself, or does not know).
    var source: SocketAddress?
    var destination: SocketAddress?

    /// What the first bytes of a connection are.
    enum Reading: Equatable {
        /// So far they may be a header.
        case incomplete
        case header(ProxyProtocolHeader, length: Int)
        case absent
        case malformed
    }

    /// The longest header that is taken; one of version 2 could announce 64 KiB.
    static let longest = 8192

    static func read(_ bytes: Bytes) -> Reading {
        if begins(bytes, with: signature) { return bytes.count < 16 ? .incomplete : readBinary(bytes) }
        if begins(bytes, with: Array("PROXY ".utf8)) { return bytes.count < 6 ? .incomplete : readText(bytes) }
        return .absent
    }

    /// §2.2: it can be no other protocol's beginning.
    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// Whether the bytes are a part of `prefix` or begin with it.
    private static func begins(_ bytes: Bytes, with prefix: [UInt8]) -> Bool {
        zip(bytes.buffer, prefix).allSatisfy { $0 == $1 }
    }
}

// MARK: Version 1

extension ProxyProtocolHeader {
    /// §2.1: with CR LF.
    private static let longestLine = 107

    private static func readText(_ bytes: Bytes) -> Reading {
        let window = bytes[0..<min(bytes.count, longestLine)]
        guard let end = window.firstIndex(of: UInt8(ascii: "\n")) else {
            return bytes.count < longestLine ? .incomplete : .malformed
        }
        guard end > 0, window[end - 1] == UInt8(ascii: "\r") else { return .malformed }
        let line = String(decoding: window[6..<max(6, end - 1)].buffer, as: UTF8.self)
        let parts = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        if parts.first == "UNKNOWN" { return .header(ProxyProtocolHeader(), length: end + 1) }
        guard parts.count == 5, let family = ["TCP4": SocketAddress.Family.v4, "TCP6": .v6][parts[0]],
            let source = address(parts[1], parts[3], family), let destination = address(parts[2], parts[4], family)
        else { return .malformed }
        return .header(ProxyProtocolHeader(source: source, destination: destination), length: end + 1)
    }

    private static func address(_ host: String, _ port: String, _ family: SocketAddress.Family) -> SocketAddress? {
        let isNumber = port.utf8.allSatisfy { (0x30...0x39).contains($0) } && (port == "0" || !port.hasPrefix("0"))
        guard isNumber, let number = UInt16(port), host.contains(":") == (family == .v6), !host.contains("%") else {
            return nil
        }
        return SocketAddress(host: host, port: number)
    }
}

// MARK: Version 2

extension ProxyProtocolHeader {
    private static func readBinary(_ bytes: Bytes) -> Reading {
        let length = 16 + number(bytes, at: 14)
        let command = bytes[12]
        guard command == 0x20 || command == 0x21, length <= longest else { return .malformed }
        guard bytes.count >= length else { return .incomplete }
        let header = bytes[0..<length]
        // LOCAL: a health check of the proxy, whatever addresses it gives.
        if command == 0x20 { return .header(ProxyProtocolHeader(), length: length) }
        switch bytes[13] {
        case 0x11: return addresses(header, size: 4)
        case 0x21: return addresses(header, size: 16)
        // Unknown, and Unix sockets, whose names say nothing here.
        case 0x00, 0x31: return .header(ProxyProtocolHeader(), length: length)
        default: return .malformed
        }
    }

    /// Two addresses of `size` bytes, two ports, and extensions (§2.2).
    private static func addresses(_ header: Bytes, size: Int) -> Reading {
        let ports = 16 + 2 * size
        guard header.count >= ports + 4, extensionsAreSound(header, from: ports + 4) else { return .malformed }
        let source = SocketAddress(
            bytes: UnsafeRawBufferPointer(header[16..<16 + size].buffer), port: UInt16(number(header, at: ports)))
        let destination = SocketAddress(
            bytes: UnsafeRawBufferPointer(header[16 + size..<ports].buffer),
            port: UInt16(number(header, at: ports + 2)))
        guard let source, let destination else { return .malformed }
        return .header(ProxyProtocolHeader(source: source, destination: destination), length: header.count)
    }

    /// Whether the extensions fill the header, and its checksum fits if there is one (§2.2.3).
    private static func extensionsAreSound(_ header: Bytes, from start: Int) -> Bool {
        var position = start
        while position < header.count {
            guard position + 3 <= header.count else { return false }
            let length = number(header, at: position + 1)
            guard position + 3 + length <= header.count else { return false }
            if header[position] == checksumType {
                guard length == 4, checksumFits(header, at: position + 3) else { return false }
            }
            position += 3 + length
        }
        return true
    }

    private static let checksumType: UInt8 = 0x03

    /// CRC-32C over the header with the checksum itself as zeros.
    private static func checksumFits(_ header: Bytes, at place: Int) -> Bool {
        var register: UInt32 = 0xFFFF_FFFF
        for index in 0..<header.count {
            register ^= (place..<place + 4).contains(index) ? 0 : UInt32(header[index])
            for _ in 0..<8 { register = register & 1 == 0 ? register >> 1 : register >> 1 ^ 0x82F6_3B78 }
        }
        let stated = UInt32(number(header, at: place)) << 16 | UInt32(number(header, at: place + 2))
        return ~register == stated
    }

    /// 16 bits, highest byte first.
    private static func number(_ bytes: Bytes, at place: Int) -> Int { Int(bytes[place]) << 8 | Int(bytes[place + 1]) }
}
