/// What one client is counted by: an IPv4 address, or the /64 network of an IPv6 address, which one client has for itself.
struct AddressKey: Hashable, Sendable {
    private let address: UInt64
    private let family: SocketAddress.Family

    init(_ socket: SocketAddress) {
        address = socket.withAddressBytes { bytes in
            bytes.prefix(8).reduce(UInt64(bytes.count)) { $0 << 8 | UInt64($1) }
        }
        family = socket.family
    }
}
