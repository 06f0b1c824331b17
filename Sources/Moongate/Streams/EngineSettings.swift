/// How an engine is to speak on a connection.
struct EngineSettings {
    enum Side: UInt8 {
        /// Towards a client.
        case server
        /// Towards an upstream.
        case client
    }

    let side: Side
    /// The largest header section taken from the peer, in octets as RFC 9113 §6.5.2 counts them.
    var maxHeaderBytes: Int
    /// The most fields of one.
    var maxHeaderFields = Int.max
    /// Streams that the peer may have open at a time; `nil`: it opens none.
    var streamLimit: Int?
    /// Octets that the peer may have under way on a stream at first.
    var streamWindow: Int32 = 65535
    /// Octets that a stream's window grows to with the first octets that are passed on, if more.
    var largestStreamWindow: Int32 = 0
    /// Octets that the peer may have under way on all streams, at least 65,535.
    var connectionWindow: Int32 = 65535
}
