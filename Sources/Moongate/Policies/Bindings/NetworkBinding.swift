import CMoongate
import MoongateLua

/// `moon.network(address, …)`: the network that an address lies in.
enum NetworkBinding {
    static var bindings: [LuaBinding] {
        [
            LuaBinding(
                "network", "si?i?", type: "(address: string, ipv4_bits?: integer, ipv6_bits?: integer): string",
                doc: """
                    The network of an address, with or without port, as a text: its first `ipv4_bits` (32) or \
                    `ipv6_bits` (64), the rest 0. For keys under which one customer is known: `2001:db8::/64`.
                    """, network)
        ]
    }

    private static let network: mg_leaf = { call in
        let text = call.bytes(0).string
        guard let address = SocketAddress(host: text, port: 0) ?? SocketAddress(text) else {
            return call.fail("moon.network: argument 1 is no IP address")
        }
        let isV4 = address.family == .v4
        let given = call.isAbsent(isV4 ? 1 : 2) ? (isV4 ? 32 : 64) : call.integer(isV4 ? 1 : 2)
        guard let bits = Int(exactly: given), bits >= 0, bits <= (isV4 ? 32 : 128) else {
            return call.fail("a network has 0 to 32 bits of an IPv4 address, 0 to 128 of an IPv6 address")
        }
        let masked = address.withAddressBytes { bytes in
            var bytes = Array(bytes)
            for index in bytes.indices {
                let kept = min(8, max(0, bits - index * 8))
                bytes[index] &= UInt8(truncatingIfNeeded: 0xFF00 >> kept)
            }
            return bytes.withUnsafeBytes { SocketAddress(bytes: $0, port: 0) }
        }
        call.give(copyOf: "\(masked?.host ?? text)/\(bits)")
        return MG_RETURN
    }
}
