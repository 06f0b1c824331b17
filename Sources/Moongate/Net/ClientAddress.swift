/// The other end of a connection, which may be a proxy. Its texts belong to the `ConnectionFacts`.
struct PeerAddress {
    let socket: SocketAddress
    /// `10.0.0.1`
    let host: Bytes
    /// `10.0.0.1:4711`
    let text: Bytes

    init(_ socket: SocketAddress) {
        self.socket = socket
        host = Bytes.allocated(socket.host)
        text = Bytes.allocated(socket.description)
    }

    /// The address must not be used afterwards.
    func free() {
        host.base.deallocate()
        text.base.deallocate()
    }
}

/// The client that a request counts for: what limits, policies, balancing and logs go by. A type of its own, so that nobody
/// takes a proxy in front for the client. A trivial value; its texts belong to the request or to its connection.
struct ClientAddress {
    let socket: SocketAddress
    /// `10.0.0.1`
    let host: Bytes
    /// `10.0.0.1:4711`; the port is 0 where a proxy names the client without one.
    let text: Bytes
    /// A trusted proxy has named it; else it is the connection's peer.
    let isForwarded: Bool

    /// The client that no trusted proxy names.
    init(_ peer: PeerAddress) {
        socket = peer.socket
        host = peer.host
        text = peer.text
        isForwarded = false
    }

    /// - Parameters: texts that last as long as the request.
    init(forwarded socket: SocketAddress, host: Bytes, text: Bytes) {
        self.socket = socket
        self.host = host
        self.text = text
        isForwarded = true
    }

    /// An address as it stands in `x-forwarded-for`: with or without a port, IPv6 with or without brackets. No interface: that
    /// would be one of this machine.
    static func parse(_ text: Bytes) -> SocketAddress? {
        guard text.count > 0, text.count <= 64, text.firstIndex(of: UInt8(ascii: "%")) == nil else { return nil }
        let string = text.string
        if string.hasPrefix("["), string.hasSuffix("]") {
            return SocketAddress(host: String(string.dropFirst().dropLast()), port: 0)
        }
        return SocketAddress(host: string, port: 0) ?? SocketAddress(string)
    }
}
