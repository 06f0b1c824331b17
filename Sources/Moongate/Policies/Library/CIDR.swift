/// One block of addresses: `10.0.0.0/8`, `2001:db8::/32`, or a single address without a slash (RFC 4632, RFC 4291 §2.3).
///
/// A block inside `::ffff:0:0/96` is the IPv4 block that it stands for.
struct CIDR: Sendable, Hashable {
    let family: SocketAddress.Family
    /// The lowest and the highest address as a number; IPv4 uses the low 32 bits.
    let first: UInt128
    let last: UInt128

    init(_ text: String) throws(CIDRFault) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let host = parts.first, let address = SocketAddress(host: String(host), port: 0), address.scope == 0
        else {
            throw CIDRFault(text, "is no IP address or CIDR block", hint: "write 10.0.0.0/8 or 2001:db8::/32")
        }
        family = address.family
        let width = address.family == .v4 ? 32 : 128
        // A mapped block counts its prefix from the start of the IPv6 address.
        let offset = address.family == .v4 && host.contains(":") ? 96 : 0
        var length = width
        if parts.count == 2 {
            guard let prefix = CIDR.prefix(parts[1]), (offset...offset + width).contains(prefix) else {
                throw CIDRFault(text, "has a prefix that is no number from \(offset) to \(offset + width)")
            }
            length = prefix - offset
        }
        let number = address.number
        let hostMask: UInt128 = length == width ? 0 : UInt128.max >> UInt128(128 - (width - length))
        guard number & hostMask == 0 else {
            let network = CIDR.text(number & ~hostMask, address.family)
            throw CIDRFault(
                text, "has bits set outside its prefix",
                hint: "write \(network)/\(length) for the block, or \(address.host) for the one address")
        }
        first = number
        last = number | hostMask
    }

    private static func prefix(_ text: Substring) -> Int? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
    }

    private static func text(_ number: UInt128, _ family: SocketAddress.Family) -> String {
        withUnsafeBytes(of: number.bigEndian) { raw in
            let bytes = UnsafeRawBufferPointer(rebasing: raw[(family == .v4 ? 12 : 0)...])
            return SocketAddress(bytes: bytes, port: 0)?.host ?? ""
        }
    }
}

/// What is wrong with the text of a block.
struct CIDRFault: Error, Sendable, Hashable {
    /// Without the text, which may be anything where a script gives it.
    let problem: CallMessage
    /// With the text, for a field of the configuration that may be shown.
    let message: String
    let hint: String?

    init(_ text: String, _ problem: CallMessage, hint: String? = nil) {
        self.problem = problem
        message = "\"\(text)\" \(problem)"
        self.hint = hint
    }

    /// Of an entry that has no text of its own.
    init(_ problem: CallMessage) {
        self.problem = problem
        message = "a network \(problem)"
        hint = nil
    }
}

extension SocketAddress {
    /// The address as a number, without port and scope.
    var number: UInt128 {
        withAddressBytes { bytes in
            var number: UInt128 = 0
            for byte in bytes { number = number << 8 | UInt128(byte) }
            return number
        }
    }
}
