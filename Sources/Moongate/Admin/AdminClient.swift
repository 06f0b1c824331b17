import Glibc

/// Asks the admin listener of a running edge, for the command line. Blocks.
public enum AdminClient {
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
        public init(_ description: String) { self.description = description }
    }

    /// Seconds that connecting and each read may take.
    private static let patience = 10

    /// The body of a page.
    ///
    /// - Parameters:
    ///   - address: an IP address and a port. `0.0.0.0` and `::` stand for the loopback address.
    ///   - path: with its query.
    public static func get(_ path: String, from address: String) throws(Failure) -> [UInt8] {
        guard let parsed = SocketAddress(address.replacing("localhost:", with: "127.0.0.1:", maxReplacements: 1)) else {
            throw Failure("\(address) is no address and port, such as 127.0.0.1:9901")
        }
        guard parsed.port != 0 else {
            throw Failure("port 0 is another with each start: name the real one with --admin")
        }
        let server = reachable(parsed)
        let answer = try exchange(
            server, Array("GET \(path) HTTP/1.1\r\nhost: \(server)\r\nconnection: close\r\n\r\n".utf8))
        guard let end = answer.firstRange(of: [13, 10, 13, 10]) else {
            throw Failure("\(address) does not answer as an admin listener does")
        }
        let status = String(decoding: answer.prefix { $0 != 13 }, as: UTF8.self)
        guard status.hasPrefix("HTTP/1.1 200 ") else { throw Failure("\(address)\(path): \(status)") }
        return Array(answer[end.upperBound...])
    }

    private static func reachable(_ address: SocketAddress) -> SocketAddress {
        let host = address.host
        guard host == "0.0.0.0" || host == "::" else { return address }
        return SocketAddress(host: host == "::" ? "::1" : "127.0.0.1", port: address.port) ?? address
    }

    private static func exchange(_ address: SocketAddress, _ request: [UInt8]) throws(Failure) -> [UInt8] {
        let file = socket(address.family == .v4 ? AF_INET : AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        guard file >= 0 else { throw failure("socket", address) }
        defer { close(file) }
        var time = timeval(tv_sec: patience, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(file, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
        }
        guard address.withSystemAddress({ connect(file, $0, $1) }) == 0 else { throw failure("connect", address) }
        guard send(file, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw failure("send", address)
        }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(file, &chunk, chunk.count)
            if count == 0 { return answer }
            guard count > 0 else { throw failure("read", address) }
            answer += chunk[..<count]
        }
    }

    private static func failure(_ what: String, _ address: SocketAddress) -> Failure {
        Failure("no answer from \(address): \(what): \(String(cString: strerror(errno)))")
    }
}
