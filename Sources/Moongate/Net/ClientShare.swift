/// Whose share something counts for: an IPv4 address, an IPv6 network of 64 bits, which one client has for itself, or the
/// process.
struct ClientShare: Sendable, Hashable {
    /// 0: the process; otherwise the number of octets of the address.
    private let size: UInt8
    private let address: UInt64

    private init(size: UInt8, address: UInt64) {
        self.size = size
        self.address = address
    }

    /// The share of work that belongs to no request.
    static let process = ClientShare(size: 0, address: 0)

    init(_ address: SocketAddress) {
        self = address.withAddressBytes { bytes in
            ClientShare(size: UInt8(bytes.count), address: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
        }
    }
}
