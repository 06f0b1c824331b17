/// Keeps requests off a connection that was made for another certificate (421, RFC 9110 §15.5.20): clients that share
/// connections between names (RFC 9113 §9.1.1) would see the wrong one.
///
/// Only connections to listeners with several certificates have one. Remembers the last authority that was good, since
/// nearly all requests of a connection name the same.
final class AuthorityGuard {
    /// The name that the client asked for.
    let serverName: String
    private let context: TLSServerContext
    private var good: [UInt8] = []

    init(_ context: TLSServerContext, serverName: String) {
        self.context = context
        self.serverName = serverName
    }

    /// Whether the last good one is `authority`, as the client sent it.
    @inline(__always) func knows(_ authority: Bytes) -> Bool {
        good.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return false }
            return authority.equals(Bytes(base, buffer.count))
        }
    }

    /// - Parameter host: of `authority`, without a port.
    func admits(_ authority: Bytes, host: Bytes) -> Bool {
        guard !context.isMisdirected(String(decoding: host.buffer, as: UTF8.self), on: serverName) else { return false }
        good = Array(authority.buffer)
        return true
    }
}
