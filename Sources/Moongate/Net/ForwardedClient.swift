/// The client as a trusted proxy in front named it. A trivial value; its texts belong to the request.
struct ForwardedClient {
    let address: SocketAddress
    /// `10.0.0.1`
    let host: Bytes
    /// `10.0.0.1:4711`; the port is 0 where the proxy gave none.
    let text: Bytes

    /// An address as it stands in `x-forwarded-for`: with or without a port, IPv6 with or without brackets.
    static func parse(_ text: Bytes) -> SocketAddress? {
        guard text.count > 0, text.count <= 64 else { return nil }
        let string = text.string
        if string.hasPrefix("["), string.hasSuffix("]") {
            return SocketAddress(host: String(string.dropFirst().dropLast()), port: 0)
        }
        return SocketAddress(host: string, port: 0) ?? SocketAddress(string)
    }
}
