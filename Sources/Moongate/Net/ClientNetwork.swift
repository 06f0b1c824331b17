/// What one client has for itself: an IPv4 address, or the /64 network of an IPv6 address.
struct ClientNetwork: Hashable, Sendable {
    private let address: UInt64
    private let family: SocketAddress.Family

    init(_ socket: SocketAddress) {
        family = socket.family
        address = socket.withAddressBytes { bytes in bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
    }
}
